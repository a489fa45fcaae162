#!/usr/bin/env bash
# start-cluster.sh: three nodes on this machine, each with a data plane, in the background.
#
#   deploy/start-cluster.sh          starts what does not run yet, and returns when all are healthy and one leads
#   deploy/start-cluster.sh stop     stops exactly the processes that it started
#
#   node-1  API 127.0.0.1:9091  Raft 127.0.0.1:8301  data ./data/node1      data plane: router node-1, own service 9291
#   node-2  API 127.0.0.1:9092  Raft 127.0.0.1:8302  data ./data/node2      data plane: router node-2, own service 9292
#   node-3  API 127.0.0.1:9093  Raft 127.0.0.1:8303  data ./data/node3      data plane: router node-3, own service 9293
#
# Data and logs are kept: a second start goes on with them. What is not built is built (make build). Elsewhere:
# DVR_CLUSTER_DATA (./data), DVR_CLUSTER_API (9090) and DVR_CLUSTER_RAFT (8300), to which the node's number is added.
# Exit status: 0 done, 1 not (and then what this run started is stopped again), 2 wrong usage.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,14s/^# \{0,1\}//p' deploy/start-cluster.sh; }
data=${DVR_CLUSTER_DATA:-./data}
api=${DVR_CLUSTER_API:-9090} raft=${DVR_CLUSTER_RAFT:-8300}
numbers=(1 2 3)

# Settings of the caller's shell must not steer all three nodes.
for name in $(compgen -e); do
  case $name in
    DVR_LOG_FORMAT | DVR_LOG_LEVEL | DVR_ETCD_QUOTA | DVR_MEMORY_LIMIT) ;;
    DVR_* | NODE_ID | DATA_DIR | *_ADDR | *_ADVERTISE | ETCD_ENDPOINTS | INITIAL_CLUSTER | JOIN | OBSERVER | CLUSTER_ID | INSECURE) unset "$name" ;;
  esac
done

# identity PID is "pid start-time boot" of a process that runs: no other process ever has the same three.
identity() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }" # the name before may hold blanks and parentheses
  [[ ${fields[0]} != [ZX] ]] || return 1
  echo "$1 ${fields[19]} $(</proc/sys/kernel/random/boot_id)"
}

record() { echo "$data/node$1/$2.process"; }

# running NUMBER PROGRAM prints the pid where the recorded process still runs.
running() {
  local line pid
  line=$(cat "$(record "$1" "$2")" 2>/dev/null) || return 1
  pid=${line%% *}
  [[ $pid =~ ^[0-9]+$ && $(identity "$pid") == "$line" ]] || return 1
  echo "$pid"
}

started=() # "number program" of this run

# launch NUMBER PROGRAM COMMAND… runs it in a session of its own and records it.
launch() {
  local number=$1 program=$2 pid line
  shift 2
  setsid "$@" >>"$data/node$number/$program.log" 2>&1 </dev/null 9>&- &
  pid=$!
  started+=("$number $program")
  if line=$(identity "$pid"); then # one that has ended already is found out below
    echo "$line" >"$(record "$number" "$program").new"
    mv "$(record "$number" "$program").new" "$(record "$number" "$program")"
  else
    rm -f "$(record "$number" "$program")"
  fi
}

# halt "NUMBER PROGRAM"… ends these in order, those that do not end within 30 s by force.
halt() {
  local what pid waiting=("$@")
  for what in "$@"; do
    # shellcheck disable=SC2086
    if pid=$(running $what); then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for ((i = 0; ${#waiting[@]} > 0; i++)); do
    local left=()
    for what in "${waiting[@]}"; do
      # shellcheck disable=SC2086
      if pid=$(running $what); then
        left+=("$what")
        ((i < 300)) || kill -KILL "$pid" 2>/dev/null || true
      else
        # shellcheck disable=SC2086
        rm -f "$(record $what)"
      fi
    done
    waiting=("${left[@]}")
    ((${#waiting[@]} == 0)) || sleep 0.1
  done
}

give_up() {
  echo "$1" >&2
  trap - EXIT
  ((${#started[@]} == 0)) || halt "${started[@]}"
  exit 1
}

# said NUMBER PROGRAM shows the end of its log.
said() { tail -n 8 "$data/node$1/$2.log" 2>/dev/null | sed 's/^/  /'; }

ask() { bin/dvr --endpoint "127.0.0.1:$((api + $1))" --timeout 2s "${@:2}" 2>/dev/null; }

# healthy: every node has a quorum, one leads, every data plane is connected somewhere.
healthy() {
  local n status planes='' leaders=0
  for n in "${numbers[@]}"; do
    status=$(ask "$n" status -o json) || return 1
    [[ $status =~ \"node_id\":\ *\"node-$n\" && $status =~ \"quorum\":\ *true ]] || return 1
    [[ ! $status =~ \"raft_state\":\ *\"Leader\" ]] || leaders=$((leaders + 1))
    planes+=$(ask "$n" dataplane list -o json | tr -d ' \n') || return 1
  done
  ((leaders == 1)) || return 1
  for n in "${numbers[@]}"; do
    [[ $planes =~ \"router\":\"node-$n\"[^}]*\"connected\":true ]] || return 1
  done
}

start() {
  local binary n pid initial='' controllers known=0
  for binary in dvr dvr-dataplane; do
    [[ -x bin/$binary ]] || { make --no-print-directory build >&2; break; }
  done
  for n in "${numbers[@]}"; do
    initial+=${initial:+,}node-$n=127.0.0.1:$((raft + n))
    [[ ! -e $data/node$n/etcd ]] || known=1
  done
  trap 'give_up "Interrupted."' INT TERM
  trap '[[ $? == 0 ]] || give_up "Not started."' EXIT
  for n in "${numbers[@]}"; do
    mkdir -p "$data/node$n"
    running "$n" node >/dev/null ||
      NODE_ID=node-$n RAFT_ADDR=127.0.0.1:$((raft + n)) API_ADDR=127.0.0.1:$((api + n)) DATA_DIR=$data/node$n INITIAL_CLUSTER=$initial \
        launch "$n" node bin/dvr node
  done
  for n in "${numbers[@]}"; do
    controllers=127.0.0.1:$((api + 100 + n))
    for pid in "${numbers[@]}"; do
      ((pid == n)) || controllers+=,127.0.0.1:$((api + 100 + pid))
    done
    running "$n" dataplane >/dev/null ||
      launch "$n" dataplane bin/dvr-dataplane --router "node-$n" --controller "$controllers" --state-dir "$data/node$n/dataplane" \
        --listen "127.0.0.1:$((api + 200 + n))"
  done
  for ((i = 0; ; i++)); do
    for n in "${numbers[@]}"; do
      running "$n" node >/dev/null || give_up "node-$n has ended; the end of $data/node$n/node.log:
$(said "$n" node)"
      running "$n" dataplane >/dev/null || give_up "The data plane of node-$n has ended; the end of $data/node$n/dataplane.log:
$(said "$n" dataplane)"
    done
    ! healthy || break
    ((i < 600)) || give_up "The cluster is not healthy after minutes; the end of $data/node1/node.log:
$(said 1 node)"
    sleep 0.1
  done
  trap - EXIT INT TERM

  if ((${#started[@]} == 0)); then
    echo "The cluster runs already:"
  elif ((known)); then
    echo "The cluster runs again, with the data in $data/node1..3:"
  else
    echo "A new cluster runs, its data in $data/node1..3:"
  fi
  for n in "${numbers[@]}"; do
    echo "  node-$n  API http://127.0.0.1:$((api + n))   etcdctl --endpoints 127.0.0.1:$((raft + n - 5921))   data plane 127.0.0.1:$((api + 200 + n))   logs $data/node$n/*.log"
  done
  cat <<TEXT
Try:
  curl -X POST http://localhost:$((api + 1))/routes -H 'Content-Type: application/json' -d '{"destination":"192.168.0.0/24","next_hop":"10.0.0.1","metric":50}'
  curl http://localhost:$((api + 2))/routes
$0 stop ends it; the data is kept.
TEXT
}

stop() {
  local n program all=() some=0
  for program in dataplane node; do
    for n in "${numbers[@]}"; do
      all+=("$n $program")
      if running "$n" "$program" >/dev/null; then some=1; fi
    done
  done
  halt "${all[@]}"
  if ((some)); then echo "Stopped. Data is kept in $data/node1..3."; else echo "Nothing of it runs."; fi
}

case ${1:-start}:$# in
  start:0 | start:1 | stop:1) ;;
  -h:1 | --help:1) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
mkdir -p "$data"
exec 9>"$data/start-cluster.lock"
flock -n 9 || { echo "Another start-cluster.sh is at work." >&2; exit 1; }
"${1:-start}"
