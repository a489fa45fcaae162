#!/usr/bin/env bash
# try.sh: installs the packages in a root made for it, uses and purges them, and says what is not as it should be.
#
#   deploy/deb/try.sh DIR     DIR has one dvr_*.deb and one dvr-dataplane_*.deb
#
# The root is this machine's with everything written kept in memory (overlay on tmpfs), the network a namespace without
# a way out: the machine itself is not changed. Exit status: 0 all is well, 1 it is not, 77 such a root cannot be made here.
set -euo pipefail
if [[ ${1-} != --inside ]]; then
  (($# == 1)) || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
  cannot() { echo "no root can be made here: $*" >&2; exit 77; }
  ((EUID == 0)) || cannot "that takes root"
  for tool in dpkg unshare setpriv ip; do command -v $tool >/dev/null || cannot "$tool is missing"; done
  unshare --mount --pid --net --ipc --fork --kill-child true 2>/dev/null || cannot "no namespaces"
  ! dpkg-query -W -f '${db:Status-Abbrev}' dvr dvr-dataplane 2>/dev/null | grep -q . || cannot "the packages are installed on this machine"
  base=$(mktemp -d)
  trap 'rmdir "$base"' EXIT
  status=0
  unshare --mount --pid --net --ipc --fork --kill-child "$0" --inside "$(realpath "$1")" "$base" || status=$?
  exit "$status"
fi

packages=$2 base=$3
mount -t tmpfs -o size=1g tmpfs "$base"
mkdir "$base"/{written,work,root,debs}
cp "$packages"/dvr_*.deb "$packages"/dvr-dataplane_*.deb "$base/debs/"
root=$base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/written,workdir=$base/work" "$root" 2>/dev/null || {
  echo "no root can be made here: no overlay of /" >&2
  exit 77
}
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir "$root/tmp/debs"
mount --bind "$base/debs" "$root/tmp/debs"
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

failed=0
wrong() { echo "WRONG: $*" >&2; failed=1; }
# same WHAT WANTED GOT
same() { [[ $2 == "$3" ]] || wrong "$1: $3, not $2"; }
end() {
  local pid
  for pid in ${node:-} ${plane:-}; do kill -KILL "$pid" 2>/dev/null || true; done
  if ((failed)); then exit 1; fi
}
trap end EXIT

ip link set lo up
rm -f "$root/var/lib/man-db/auto-update" # an index of every manual on the machine is not what is tried here
inside sh -c 'dpkg --force-unsafe-io -i /tmp/debs/*.deb' >"$base/dpkg.log" 2>&1 || { cat "$base/dpkg.log" >&2; wrong "dpkg -i failed"; exit 1; }

stats() { inside stat -c '%U:%G %a' "$1" 2>/dev/null || echo missing; }
for line in '/usr/bin/dvr root:root 755' '/usr/bin/dvr-dataplane root:root 755' '/etc/dvr root:root 755' \
  '/etc/dvr/node.env root:root 644' '/etc/dvr/dataplane.env root:root 644' '/var/lib/dvr root:root 755' \
  '/var/lib/dvr/node dvr:dvr 700' '/var/lib/dvr/dataplane root:root 700' \
  '/lib/systemd/system/dvr-node.service root:root 644' '/lib/systemd/system/dvr-dataplane.service root:root 644' \
  '/usr/share/man/man1/dvr.1.gz root:root 644' '/usr/share/man/man1/dvr-route-add.1.gz root:root 644' '/usr/share/man/man8/dvr-dataplane.8.gz root:root 644' \
  '/usr/share/bash-completion/completions/dvr root:root 644' '/usr/share/zsh/vendor-completions/_dvr root:root 644' \
  '/usr/share/fish/vendor_completions.d/dvr.fish root:root 644' '/usr/share/doc/dvr/copyright root:root 644' '/usr/share/doc/dvr/README.md root:root 644' \
  '/usr/share/doc/dvr/docs/operations.md root:root 644' '/usr/share/doc/dvr/docs/security.md root:root 644' '/usr/share/doc/dvr/docs/decisions/0021-transport-security.md root:root 644'; do
  same "${line%% *}" "${line#* }" "$(stats "${line%% *}")"
done
same "conffiles" "/etc/dvr/dataplane.env /etc/dvr/node.env" \
  "$(inside dpkg-query -W -f '${Conffiles}\n' dvr dvr-dataplane | awk 'NF {print $1}' | sort | xargs)"
same "what dpkg finds changed" "" "$(inside dpkg -V dvr dvr-dataplane)"
inside dvr version >/dev/null || wrong "dvr version"
inside dvr-dataplane --version >/dev/null || wrong "dvr-dataplane --version"
same "dvr's shell" /usr/sbin/nologin "$(inside getent passwd dvr | cut -d: -f7)"
same "units that the installation enabled" "" "$(inside find /etc/systemd/system -name 'dvr-*')"
if command -v systemd-analyze >/dev/null; then
  inside systemd-analyze verify --man=no dvr-node.service dvr-dataplane.service >"$base/verify.log" 2>&1 || true
  same "what systemd-analyze verify says of our units" "" "$(grep -F dvr- "$base/verify.log" || true)"
  for unit in dvr-node:20 dvr-dataplane:30; do
    inside systemd-analyze security --offline=yes --threshold="${unit#*:}" "${unit%:*}.service" >"$base/security.log" 2>&1 ||
      wrong "${unit%:*}.service is more exposed than ${unit#*:}: $(tail -n 1 "$base/security.log")"
  done
fi

# service UNIT SETPRIV… runs what the installed unit would, with its environment, in the background.
service() {
  local unit=$root/lib/systemd/system/$1.service env=() line
  shift
  mapfile -t env < <(sed -n 's/^Environment=//p' "$unit"; grep -hE '^[A-Z_]+=' "$root$(sed -n 's/^EnvironmentFile=//p' "$unit")")
  read -ra line < <(sed -n 's/^ExecStart=//p' "$unit")
  exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "${env[@]}" setpriv --no-new-privs "$@" "${line[@]}"
}
# get PATH prints the code of the node's answer.
get() {
  local answer
  { exec 9<>/dev/tcp/127.0.0.1/9090; } 2>/dev/null || return 0
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&9
  read -r _ answer _ <&9 || true
  exec 9>&-
  echo "$answer"
}
# await WHAT COMMAND… repeats the command for a minute, until it succeeds.
await() {
  local what=$1 i
  shift
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  wrong "$what did not come; the node said: $(tail -n 5 "$base/node.log"); the data plane: $(tail -n 5 "$base/plane.log" 2>/dev/null)"
  exit 1
}
ready() { [[ $(get /readyz) == 200 ]]; }
# stopped NAME PID: SIGTERM ends it well.
stopped() {
  local status=0
  kill -TERM "$2"
  wait "$2" || status=$?
  same "the $1's exit status after SIGTERM" 0 "$status"
}

service dvr-node --reuid dvr --regid dvr --clear-groups --bounding-set=-all --inh-caps=-all >"$base/node.log" 2>&1 &
node=$!
await "/readyz" ready
same "who owns the node's data" "dvr:dvr 600" "$(stats /var/lib/dvr/node/identity.json)"

# The data plane, with no more than the capabilities that its unit leaves, keeps the kernel's routes.
ip link add dvr0 type veth peer name dvr1
ip addr add 192.0.2.1/24 dev dvr0
ip link set dvr0 up && ip link set dvr1 up
sed -i 's/^#DVR_ROUTER=.*/DVR_ROUTER=r1/; s/^DVR_SINK=.*/DVR_SINK=kernel/' "$root/etc/dvr/dataplane.env"
capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$root/lib/systemd/system/dvr-dataplane.service" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
service dvr-dataplane --bounding-set="-all,$capabilities" >"$base/plane.log" 2>&1 &
plane=$!
inside dvr route add 198.51.100.0/24 192.0.2.2 >"$base/add.log" 2>&1 || wrong "dvr route add: $(cat "$base/add.log")"
installed() { [[ $(ip route show 198.51.100.0/24 proto 68) == *198.51.100.0/24* ]]; }
await "the route in the kernel" installed
stopped 'data plane' "$plane"
plane=''
installed || wrong "the route went with the data plane"
stopped node "$node"
node=''

echo '# mine' >>"$root/etc/dvr/node.env"
inside dpkg --force-unsafe-io -r dvr dvr-dataplane >"$base/dpkg.log" 2>&1 || { cat "$base/dpkg.log" >&2; wrong "dpkg -r failed"; }
same "the administrator's settings after removal" '# mine' "$(tail -n 1 "$root/etc/dvr/node.env" 2>/dev/null || echo gone)"
[[ -e $root/var/lib/dvr/node/identity.json ]] || wrong "removal took the node's data"
inside dpkg --force-unsafe-io -P dvr dvr-dataplane >"$base/dpkg.log" 2>&1 || { cat "$base/dpkg.log" >&2; wrong "dpkg -P failed"; }
! grep -q WARNING "$base/dpkg.log" || wrong "purge: $(cat "$base/dpkg.log")"
for file in passwd group shadow gshadow; do
  cmp -s "/etc/$file" "$root/etc/$file" || wrong "purge leaves something in /etc/$file"
done
# What was not there before, but for what dpkg and its triggers keep for themselves.
left=$(cd "$base/written" && find . ! -type d ! -type c -printf '%P\n' | grep -vE '^(var/(lib/dpkg|cache|log)/|var/lib/systemd/deb-systemd|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock$|etc/ld\.so\.cache$)' |
  while read -r path; do [[ -e /$path || -L /$path ]] || echo "/$path"; done) || true
same "what purge leaves" "" "$left"
for dir in /etc/dvr /var/lib/dvr /usr/share/doc/dvr /usr/share/doc/dvr-dataplane; do
  [[ ! -e $root$dir ]] || wrong "purge leaves $dir"
done
