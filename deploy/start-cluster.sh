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
    DVR_ARCHIVE_DIR | DVR_BACKUP_DIR | DVR_BACKUP_INTERVAL | DVR_BACKUP_KEEP | DVR_LOG_FORMAT | DVR_LOG_LEVEL | DVR_LOG_SAMPLE | DVR_ETCD_QUOTA | DVR_MEMORY_LIMIT | DVR_TRACE_ENDPOINT | DVR_TRACE_RATIO) ;;
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

blank=() # state directories of data planes that this run began

give_up() {
  echo "$1" >&2
  trap - EXIT
  ((${#started[@]} == 0)) || halt "${started[@]}"
  # What a data plane took over in a start that failed must not bind the next one.
  ((${#blank[@]} == 0)) || rm -rf -- "${blank[@]}"
  exit 1
}

# said NUMBER PROGRAM shows the end of its log.
said() { tail -n 8 "$data/node$1/$2.log" 2>/dev/null | sed 's/^/  /'; }

ask() { bin/dvr --endpoint "127.0.0.1:$((api + $1))" --timeout 2s "${@:2}" 2>/dev/null; }

# Both set lacking to what is not there yet; ready: every node has a quorum and one leads.
lacking=''
ready() {
  local n status leaders=0
  for n in "${numbers[@]}"; do
    if ! status=$(bin/dvr --endpoint "127.0.0.1:$((api + n))" --timeout 2s status -o json 2>&1); then
      lacking="node-$n: ${status%%$'\n'*}"
      return 1
    fi
    lacking="node-$n, at whose address 127.0.0.1:$((api + n)) another answers"
    [[ $status =~ \"node_id\":\ *\"node-$n\" ]] || return 1
    lacking="node-$n to have a quorum"
    [[ $status =~ \"quorum\":\ *true ]] || return 1
    [[ ! $status =~ \"raft_state\":\ *\"Leader\" ]] || leaders=$((leaders + 1))
  done
  lacking='a leader'
  ((leaders == 1))
}

# connected: every data plane is, to some node.
connected() {
  local n planes=''
  lacking='the nodes to tell of their data planes'
  for n in "${numbers[@]}"; do
    planes+=$(ask "$n" dataplane list -o json | tr -d ' \n') || return 1
  done
  for n in "${numbers[@]}"; do
    lacking="the data plane of node-$n to be connected"
    [[ $planes =~ \"router\":\"node-$n\"[^}]*\"connected\":true ]] || return 1
  done
}

# await SECONDS CONDITION PROGRAM… waits for ready or connected while these programs run, and says for what every few seconds.
await() {
  local limit=$1 condition=$2 begun=$SECONDS told=$SECONDS n program
  shift 2
  until "$condition"; do
    for n in "${numbers[@]}"; do
      for program in "$@"; do
        running "$n" "$program" >/dev/null || give_up "The $program of node-$n has ended; the end of $data/node$n/$program.log:
$(said "$n" "$program")"
      done
      if [[ $condition == connected ]] && tail -c "+$((${from[n]} + 1))" "$data/node$n/dataplane.log" | grep -qF "$refusal"; then
        give_up "The data plane of node-$n refuses this cluster, since its routes are of another log; the end of $data/node$n/dataplane.log:
$(said "$n" dataplane)
Where its routes are not wanted any more, remove $data/node$n/dataplane."
      fi
    done
    if ((SECONDS - begun >= limit)); then
      program=node n=1
      [[ $condition != connected ]] || program=dataplane
      [[ ! $lacking =~ node-([0-9]+) ]] || n=${BASH_REMATCH[1]}
      give_up "Waited $limit s for $lacking; the end of $data/node$n/$program.log:
$(said "$n" "$program")"
    fi
    if ((SECONDS - told >= 3)); then
      echo "Waiting for $lacking"
      told=$SECONDS
    fi
    sleep 0.1
  done
}

# The data plane's words where a controller has another log than its routes.
refusal='the controller belongs to log '
from=() # where in its log each data plane of this run begins

start() {
  local binary n other initial='' controllers known=0
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
  # A data plane takes over the log of the first controller that answers: only now is each sure to be this cluster's.
  await 300 ready node
  for n in "${numbers[@]}"; do
    controllers=127.0.0.1:$((api + 100 + n)) # its own node first
    for other in "${numbers[@]}"; do
      ((other == n)) || controllers+=,127.0.0.1:$((api + 100 + other))
    done
    from[n]=$(stat -c %s "$data/node$n/dataplane.log" 2>/dev/null || echo 0)
    running "$n" dataplane >/dev/null && continue
    [[ -e $data/node$n/dataplane ]] || blank+=("$data/node$n/dataplane")
    launch "$n" dataplane bin/dvr-dataplane --router "node-$n" --controller "$controllers" --state-dir "$data/node$n/dataplane" \
      --listen "127.0.0.1:$((api + 200 + n))"
  done
  await 60 connected node dataplane
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
