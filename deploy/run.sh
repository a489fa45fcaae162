#!/usr/bin/env bash
# run.sh: starts one node and one data plane in the foreground and stops both on Ctrl-C; `make run` calls it.
#
# The node takes its settings from the environment as always (docs/reference.md), the data
# plane too: DVR_ROUTER (r1) is its router, DVR_SINK (memory) where routes go, DVR_LISTEN its own service. Either
# one ending ends both, exit status 1. Logs are appended to, in the data directory.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${DATA_DIR:-${DVR_DATA_DIR:-./data}}
router=${DVR_ROUTER:-r1}

# dial ADDRESS DEFAULT_PORT gives what to dial for a listen address: no host and every host are this machine.
dial() {
  local host=${1%:*} port=${1##*:}
  case $host in '' | 0.0.0.0 | '[::]') host=127.0.0.1 ;; esac
  printf '%s:%s' "$host" "$port"
}
api=$(dial "${API_ADDR:-${DVR_API_ADDR:-:9090}}")
api_port=${api##*:}
fib=$(dial "${FIB_ADDR:-${DVR_FIB_ADDR:-:$((api_port + 100))}}")
raft=${RAFT_ADDR:-${DVR_RAFT_ADDR:-127.0.0.1:8300}}
etcd=$(dial "${CLIENT_ADDR:-${DVR_CLIENT_ADDR:-:$((2379 + ${raft##*:} - 8300))}}")
[[ -n ${ETCD_ENDPOINTS:-${DVR_ETCD_ENDPOINTS:-}} ]] && etcd=${ETCD_ENDPOINTS:-$DVR_ETCD_ENDPOINTS}
listen=${DVR_LISTEN:-127.0.0.1:$((api_port + 200))}
node='' dataplane='' failed=0

for binary in dvr dvr-dataplane; do
  [[ -x bin/$binary ]] || { echo "bin/$binary is not built: make build" >&2; exit 1; }
done

alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

# stop ends what runs. At Ctrl-C the terminal has signalled the children too, and they are at it; TERM, which they take
# for the same wish, goes to those that were not reached. A second Ctrl-C ends everything at once.
stop() {
  trap 'kill -KILL $dataplane $node 2>/dev/null' INT
  trap '' TERM
  trap - EXIT
  local pid status name
  for ((i = 0; i < 6; i++)); do
    alive "$dataplane" || alive "$node" || break
    sleep 0.05
  done
  for pid in $dataplane $node; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for name in dataplane node; do
    pid=${!name}
    [[ -n $pid ]] || continue
    while :; do # a signal interrupts wait without the child having ended
      status=0
      wait "$pid" || status=$?
      alive "$pid" || break
    done
    # Where the status of an ended child was taken before, wait answers 127, or bash
    # loses it to the wait that the signal interrupted and answers -1.
    if ((status > 0 && status != 127)); then
      echo "The ${name/dataplane/data plane} $(ended "$status")." >&2
      failed=1
    fi
  done
}

# ended says how a process went by its status.
ended() {
  if (($1 > 128)); then
    echo "was ended by SIG$(kill -l $(($1 - 128)))"
  else
    echo "ended with status $1"
  fi
}

trap 'stop; echo; echo "Stopped. Data is kept in $data."; exit $failed' INT TERM
trap stop EXIT

# said FILE OFFSET shows the last lines that were logged since this start.
said() { tail -c "+$(($2 + 1))" "$1" | tail -n 8 | sed 's/^/  /' >&2; }
size() { stat -c %s "$1" 2>/dev/null || echo 0; }
ask() { bin/dvr --endpoint "$api" --timeout 2s "$@" 2>/dev/null; }

# waiting WHAT [COMMAND] says for what this waits, every few seconds, and how the node answers the command.
waiting() {
  local why=''
  ((SECONDS - told >= 3)) || return 0
  (($# < 2)) || why=$(bin/dvr --endpoint "$api" --timeout 2s "$2" 2>&1) || true
  echo "$1${why:+: ${why%%$'\n'*}}"
  told=$SECONDS
}

# gone NAME PID FILE OFFSET says how a child ended, and ends this.
gone() {
  local status=0
  wait "$2" || status=$?
  echo "The $1 $(ended "$status"):" >&2
  said "$3" "$4"
  if [[ $2 == "$node" ]]; then node=''; else dataplane=''; fi
  exit 1
}

mkdir -p "$data"
node_log=$data/node.log dataplane_log=$data/dataplane.log
node_at=$(size "$node_log") dataplane_at=$(size "$dataplane_log")

begin=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
DATA_DIR=$data bin/dvr node >>"$node_log" 2>&1 &
node=$!
told=$SECONDS
for ((i = 0; ; i++)); do
  alive "$node" || gone node "$node" "$node_log" "$node_at"
  # Another node may answer at the address until ours finds it taken: ours began after this script.
  if [[ $(ask status -o json) =~ \"since\":\ *\"([^\"]*)\" && ! ${BASH_REMATCH[1]} < $begin ]]; then break; fi
  ((i < 600)) || { echo "The node is not ready after a minute:" >&2; said "$node_log" "$node_at"; exit 1; }
  waiting 'The node starts' status
  sleep 0.1
done

bin/dvr-dataplane --controller "$fib" --router "$router" --sink "${DVR_SINK:-memory}" --state-dir "$data/dataplane" --listen "$listen" >>"$dataplane_log" 2>&1 &
dataplane=$!
for ((i = 0; ; i++)); do
  alive "$node" || gone node "$node" "$node_log" "$node_at"
  alive "$dataplane" || gone 'data plane' "$dataplane" "$dataplane_log" "$dataplane_at"
  if [[ $'\n'$(ask dataplane list) =~ $'\n'"$router "\ *([a-z]+) && ${BASH_REMATCH[1]} != disconnected ]]; then break; fi
  if tail -c "+$((dataplane_at + 1))" "$dataplane_log" | grep -qF 'the controller belongs to log '; then
    echo "The data plane refuses this node, since its routes are of another log:" >&2
    said "$dataplane_log" "$dataplane_at"
    echo "Where its routes are not wanted any more, remove $data/dataplane." >&2
    exit 1
  fi
  waiting 'The data plane connects'
  ((i < 600)) || { echo "The data plane is not connected after a minute:" >&2; said "$dataplane_log" "$dataplane_at"; exit 1; }
  sleep 0.1
done

# Commands that are copied from here must reach this node and this data plane.
endpoint='' at=''
[[ $api == 127.0.0.1:9090 ]] || endpoint=" --endpoint $api"
[[ $listen == 127.0.0.1:9290 ]] || at=" $listen"
cat <<TEXT
DVR runs: one node, one data plane (router $router). Ctrl-C stops both; $data is kept.
  dashboard   http://$api/       API reference: http://$api/docs
  API         http://$api       logs: $node_log
  etcd        etcdctl --endpoints $etcd watch --prefix /dvr/log/b/
  data plane  gRPC from $fib, own service on $listen       logs: $dataplane_log

Try:
  curl -X POST 'http://$api/routes?wait=installed' -H 'Content-Type: application/json' -d '{"destination":"10.1.0.0/16","next_hop":"192.168.1.1","metric":100}'
  curl 'http://$api/routes'
  curl 'http://$api/v1/lookup?address=10.1.2.3&router=$router&source=dataplane'
or bin/dvr$endpoint route list, and bin/dvr dataplane show --at${at:- $listen} asks the data plane itself.
TEXT

wait -n "$node" "$dataplane" || true
alive "$dataplane" || gone 'data plane' "$dataplane" "$dataplane_log" "$dataplane_at"
gone node "$node" "$node_log" "$node_at"
