#!/usr/bin/env bash
# try.sh: starts the containers as docs/operations.md says, in clear text and in TLS, takes containers and their network
# away and brings them back, and says what is not as it should be.
#
#   deploy/docker/try.sh
#
# The image's final stage is built from bin/ (DVR_BIN) on a Debian root with the Dockerfile's packages; the root is kept in
# build/docker. Docker's engine runs in namespaces of its own without a way out, its data in a directory that is deleted:
# the machine is not changed. Exit status: 0 all is well, 1 it is not, 77 Docker cannot run here.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

if [[ ${1-} != --inside ]]; then
  (($# == 0)) || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
  cannot() { echo "Docker cannot run here: $*" >&2; exit 77; }
  ((EUID == 0)) || cannot "that takes root"
  for tool in /usr/bin/docker dockerd docker-compose debootstrap unshare ip curl; do
    command -v "$tool" >/dev/null || cannot "$tool is missing (deploy/toolchain.sh docker)"
  done
  unshare --mount --pid --net --ipc --fork --kill-child true 2>/dev/null || cannot "no namespaces (in a chroot there are none)"
  mountpoint -q /sys/fs/cgroup || cannot "no control groups"
  bin=${DVR_BIN:-$top/bin}
  for program in dvr dvr-dataplane; do
    [[ -x $bin/$program ]] || { echo "$bin/$program is not built: make build" >&2; exit 1; }
  done

  base=$(mktemp -d "${TMPDIR:-/var/tmp}/dvr-docker.XXXXXX")
  trap 'rm -rf --one-file-system "$base"' EXIT
  packages=$(sed -n 's/^ARG PACKAGES="\(.*\)"$/\1/p' "$top/deploy/docker/Dockerfile")
  root=$top/build/docker/root-$(sha256sum <<<"$packages" | cut -c1-12).tar
  if [[ ! -e $root ]]; then
    mkdir -p "$top/build/docker"
    mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
      awk '!u && $1 == "URIs:" {u = $2} !u && $1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {u = $i; break}} END {print u}')
    unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include="${packages// /,}" bookworm "$base/root" "$mirror" >"$base/debootstrap.log" 2>&1 || {
      tail -n 5 "$base/debootstrap.log" "$base/root/debootstrap/debootstrap.log" >&2 || true
      cannot "debootstrap made no root"
    }
    tar -C "$base/root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists -cf "$root.new" . && mv "$root.new" "$root"
    rm -rf --one-file-system "$base/root"
  fi

  # What the build sees: as in a checkout in which `make build` ran.
  mkdir -p "$base/context/bin"
  cp -r "$top/deploy" "$top/.dockerignore" "$base/context/"
  cp "$bin/dvr" "$bin/dvr-dataplane" "$base/context/bin/"
  status=0
  unshare --mount --pid --net --ipc --fork --kill-child --mount-proc "$0" --inside "$base" "$root" || status=$?
  exit "$status"
fi

base=$2 root=$3
# Another docker may be on the PATH, of a release that builds by a plug-in only.
docker() { /usr/bin/docker "$@"; }
export DOCKER_HOST=unix://$base/docker.sock DOCKER_CONFIG=$base/config DOCKER_BUILDKIT=1 PATH=/usr/bin:$PATH
# What is set for whoever calls this must not reach the containers or the command lines.
unset "${!DVR_@}" COMPOSE_FILE COMPOSE_PROJECT_NAME 2>/dev/null || true
cd "$base/context/deploy/docker"

step=''
say() { step=$*; echo "$((SECONDS / 60))m$((SECONDS % 60))s  $*"; }
wrong() {
  echo "WRONG ($step): $*" >&2
  docker ps -a >&2 || true
  local name
  for name in $(docker ps -a --format '{{.Names}}'); do
    echo "-- $name" >&2
    docker logs --tail 8 "$name" 2>&1 | cut -c1-400 >&2 || true
  done
  exit 1
}
# await WHAT COMMAND… repeats the command until it succeeds, three minutes at most: a bound for what never comes, no measure.
await() {
  local what=$1 end=$((SECONDS + 180))
  shift
  until "$@"; do
    ((SECONDS < end)) || wrong "$what did not come${answer:+; the last: $(cat "$base/answer")}"
    sleep 0.2
  done
}

ip link set lo up
say "the engine starts"
dockerd --data-root "$base/data" --exec-root "$base/exec" -H "$DOCKER_HOST" -p "$base/dockerd.pid" >"$base/dockerd.log" 2>&1 &
engine=$!
answers() { docker version >/dev/null 2>&1; }
for ((i = 0; ; i++)); do
  if answers; then break; fi
  # Nothing of ours has been tried yet.
  if ! kill -0 "$engine" 2>/dev/null || ((i == 600)); then
    tail -n 5 "$base/dockerd.log" >&2
    echo "Docker cannot run here: dockerd does not start" >&2
    exit 77
  fi
  sleep 0.1
done

say "the image is made"
docker import "$root" dvr-runtime >/dev/null
docker build -q -t dvr --build-arg BINARIES=outside --build-arg RUNTIME=dvr-runtime -f Dockerfile ../.. >/dev/null
[[ $(docker run --rm --network none dvr id -u) == 10001 ]] || wrong "the image's user"

nodes=(control-plane-1 control-plane-2 control-plane-3)
planes=(data-plane-1 data-plane-2 data-plane-3)
files=()
compose() { docker-compose "${files[@]}" "$@" >"$base/compose.log" 2>&1 || { cat "$base/compose.log" >&2; wrong "docker-compose $*"; }; }
# Containers of one service have one name, docker_SERVICE_1.
container() { docker ps -a -q --filter "label=com.docker.compose.service=$1"; }
health() { docker inspect -f '{{.State.Health.Status}}' "$(container "$1")"; }
healthy() {
  local service
  for service; do [[ $(health "$service") == healthy ]] || return 1; done
}
inside() { # inside SERVICE COMMAND…
  local service=$1
  shift
  docker exec "$(container "$service")" "$@"
}
scheme=http certificates=()
# ask N PATH [CURL'S ARGUMENTS]: the API of node N as this machine sees it.
ask() { curl -sS -f -m 60 "${certificates[@]}" "$scheme://localhost:909$1$2" "${@:3}" 2>&1; }
has() { [[ $(ask "$1" /routes) == *"\"$2\":"* ]]; }
everywhere() { # every route at every node
  local n destination
  for n in 1 2 3; do for destination in "${routes[@]}"; do has "$n" "$destination" || return 1; done; done
}
# add N DESTINATION: what is asked again is the same change, under one key.
routes=()
added() {
  ask "$1" /routes -X POST -H 'Content-Type: application/json' -H "Idempotency-Key: try-${2//[^0-9]/-}" \
    -d "{\"destination\": \"$2\", \"next_hop\": \"10.0.0.1\", \"metric\": 50}" >"$base/answer"
}
add() {
  answer=1 await "the answer to the change of $2" added "$1" "$2"
  routes+=("$2")
}
# installed SERVICE DESTINATION'S ADDRESS: asked on the data plane's own service.
installed() { inside "$1" dvr dataplane lookup "$2" >/dev/null 2>&1; }
# Nodes tell the same digest at the same revision.
same() {
  local n state first=''
  for n in 1 2 3; do
    state=$(ask "$n" /v1/status | grep -oE '"(revision|digest|hash)":("[0-9a-f]+"|[0-9]+)' | sort -u | xargs)
    [[ $state == *digest:*revision:* && $state == "${first:=$state}" ]] || return 1
  done
}
leader() { # its number
  local n
  for n in 1 2 3; do
    if [[ $(ask "$n" /health) == *'"raft_state":"Leader"'* ]]; then echo "$n"; return; fi
  done
  return 1
}
in_sync() { # the data planes, as the given node sees them
  local listed
  listed=$(inside "control-plane-$1" dvr dataplane list "${@:2}" 2>&1) || return 1
  [[ $(grep -cE '^r[123] +in sync ' <<<"$listed") == 3 ]]
}

say "docker-compose up -d"
docker-compose up -d >"$base/compose.log" 2>&1 || { cat "$base/compose.log" >&2; wrong "docker-compose up -d"; }
! grep -qi building "$base/compose.log" || wrong "it built what was there"
await "health" healthy "${nodes[@]}" "${planes[@]}"
[[ $(ask 1 /readyz) == *'"transport":"insecure"'* ]] || wrong "it does not say that it is insecure: $(ask 1 /readyz)"
for port in 8301 8302 8303; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || wrong "nothing at Raft's port $port"
done
[[ $(docker ps --format '{{.Ports}}') != *0.0.0.0:[89]* ]] || wrong "ports are open to others: $(docker ps --format '{{.Ports}}')"

say "the seed's lines"
for n in 1 2 3; do [[ $(ask "$n" /health) == *"\"node_id\":\"node-$n\""* ]] || wrong "health of $n: $(ask "$n" /health)"; done
add 1 192.168.0.0/24
await "the route everywhere" everywhere
for plane in "${planes[@]}"; do await "the route at $plane" installed "$plane" 192.168.0.7; done
await "data planes in sync" in_sync 1

say "the node that leads is killed"
await "a leader" leader >/dev/null
led=$(leader) || wrong "no leader"
others=(1 2 3)
unset "others[led - 1]"
others=("${others[@]}")
docker kill "$(container "control-plane-$led")" >/dev/null
add "${others[0]}" 192.168.1.0/24
for plane in "${planes[@]}"; do await "the new route at $plane" installed "$plane" 192.168.1.7; done
docker start "$(container "control-plane-$led")" >/dev/null
await "health" healthy "${nodes[@]}"
await "nothing lost" everywhere

say "a node and a data plane are cut off"
cut=${others[0]}
network=$(docker network ls -q --filter label=com.docker.compose.network=cluster)
docker network disconnect "$network" "$(container "control-plane-$cut")"
docker network disconnect "$network" "$(container data-plane-2)"
add "${others[1]}" 192.168.2.0/24
code=0
inside "control-plane-$cut" dvr route add 192.168.9.0/24 10.0.0.1 --timeout 6s >"$base/answer" 2>&1 || code=$?
((code == 5)) || wrong "alone it answers $code to a change: $(cat "$base/answer")"
inside "control-plane-$cut" dvr route get 192.168.1.0/24 >/dev/null 2>&1 || wrong "alone it does not read"
installed data-plane-2 192.168.1.7 || wrong "cut off, it does not forward"
! installed data-plane-2 192.168.2.7 || wrong "it was not cut off"
await "the others' new route" installed data-plane-1 192.168.2.7
docker network connect --alias "control-plane-$cut" "$network" "$(container "control-plane-$cut")"
docker network connect --alias data-plane-2 "$network" "$(container data-plane-2)"
await "health" healthy "${nodes[@]}"
await "nothing lost" everywhere
await "the new route" installed data-plane-2 192.168.2.7

say "a data plane is killed"
docker kill "$(container data-plane-3)" >/dev/null
add 3 192.168.3.0/24
docker start "$(container data-plane-3)" >/dev/null
await "health" healthy "${planes[@]}"
await "what it missed" installed data-plane-3 192.168.3.7

say "down and up"
compose down -t 30
compose up -d
await "health" healthy "${nodes[@]}" "${planes[@]}"
await "nothing lost" everywhere
await "the nodes the same" same
await "data planes in sync" in_sync 2
compose down -v -t 30
[[ -z $(docker volume ls -q) ]] || wrong "down -v leaves $(docker volume ls -q)"

say "certificates"
./certs.sh >"$base/certs.log" 2>&1 || { cat "$base/certs.log" >&2; wrong "certs.sh"; }
serials() { for crt in certs/*/tls.crt; do sha256sum "$crt"; done; }
before=$(serials)
./certs.sh >"$base/certs.log" 2>&1 || { cat "$base/certs.log" >&2; wrong "certs.sh again"; }
[[ $(serials) == "$before" ]] || wrong "certs.sh again made others"
files=(-f docker-compose.yml -f docker-compose.secure.yml)
scheme=https certificates=(--cacert certs/operator/ca.crt --cert certs/operator/tls.crt --key certs/operator/tls.key)
routes=()
say "up in TLS"
compose up -d
await "health" healthy "${nodes[@]}" "${planes[@]}"
[[ $(ask 1 /readyz) == *'"transport":"tls"'* ]] || wrong "it does not say that it is in TLS: $(ask 1 /readyz)"
add 2 192.168.0.0/24
await "the route everywhere" everywhere
for plane in "${planes[@]}"; do await "the route at $plane" installed "$plane" 192.168.0.7; done
code=$(curl -sS -m 60 -o /dev/null -w '%{http_code}' --cacert certs/operator/ca.crt https://localhost:9091/routes) || true
[[ $code == 401 || $code == 403 ]] || wrong "without a certificate: $code"
! curl -sS -f -m 60 http://localhost:9091/routes >/dev/null 2>&1 || wrong "it answers in clear text"
code=$(curl -sS -m 60 -o /dev/null -w '%{http_code}' --cacert certs/operator/ca.crt --cert certs/data-plane-1/tls.crt --key certs/data-plane-1/tls.key https://localhost:9091/routes 2>/dev/null) || true
[[ $code == 000 || $code == 401 || $code == 403 ]] || wrong "with a data plane's certificate: $code"
await "a leader" leader >/dev/null
led=$(leader) || wrong "no leader"
say "in TLS the node that leads is killed"
docker kill "$(container "control-plane-$led")" >/dev/null
add $((led % 3 + 1)) 192.168.1.0/24
docker start "$(container "control-plane-$led")" >/dev/null
await "health" healthy "${nodes[@]}" "${planes[@]}"
await "nothing lost" everywhere
await "the nodes the same" same
for plane in "${planes[@]}"; do await "the new route at $plane" installed "$plane" 192.168.1.7; done

say "tokens"
dvr() {
  DVR_CA_FILE=certs/operator/ca.crt DVR_CERT_FILE=certs/operator/tls.crt DVR_KEY_FILE=certs/operator/tls.key "$base/context/bin/dvr" --endpoint localhost:9091 "$@" >"$base/answer" 2>&1 ||
    wrong "dvr $*: $(cat "$base/answer")"
}
# code [CURL'S ARGUMENTS]: the answer's, of node 2 to who shows no certificate; a change reaches it in its time.
code() { curl -sS -m 60 -o /dev/null -w '%{http_code}' --cacert certs/operator/ca.crt https://localhost:9092/routes "$@"; }
dvr auth init operator --write "$base/token"
dvr auth role grant watcher viewer
dvr auth token create watcher --write "$base/watcher"
reads() { [[ $(code -H "Authorization: Bearer $(cat "$base/$1")") == 200 ]]; }
await "what a token allows" reads token
await "what a viewer's token allows" reads watcher
[[ $(code) == 401 ]] || wrong "without a token: $(code)"
change=(-X POST -H 'Content-Type: application/json' -d '{"destination": "192.168.4.0/24", "next_hop": "10.0.0.1"}')
[[ $(code "${change[@]}" -H "Authorization: Bearer $(cat "$base/watcher")") == 403 ]] || wrong "a viewer may change routes"
[[ $(code "${change[@]}" -H "Authorization: Bearer $(cat "$base/token")") == 201 ]] || wrong "an admin may not change routes"
for plane in "${planes[@]}"; do await "the new route at $plane" installed "$plane" 192.168.4.7; done
await "health" healthy "${nodes[@]}" "${planes[@]}"
compose down -v -t 30
say "all is well"
