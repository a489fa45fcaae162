#!/usr/bin/env bash
# dashboard.sh: builds the dashboard, which the next build of bin/dvr embeds; with the argument test it runs that
# bin/dvr and the dashboard's tests in Chromium, all or those in the files named behind it; with film it records
# docs/demo.gif and docs/dashboard.png.
#
# It needs Node 20.19 or newer and npm, and takes the machine's where they are. Otherwise Node comes from Debian; as
# Debian 12's is older than that, it only fetches a newer one, as an npm package into build/node. Debian's npm would
# install 376 packages for that: the third of them that it runs with is unpacked into build/npm, and nothing installed.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# quietly COMMAND… shows its output only if it fails.
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; echo "dashboard: \`$*\` failed; \`make go cpp\` builds the rest without it" >&2; exit 1; }; }

recent() { node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; }

# closure lists Debian's npm and what it runs with: what its packages depend on, one of each that provides a virtual one,
# and node-gyp, which it looks for, without the compilers behind that.
closure() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances npm | awk '
    /^[^ ]/ { package = $1; virtual = 0; next }
    /Depends: </ { virtual = 1; next } # its providers follow, one a line
    /Depends: / { needs[package] = needs[package] " " $NF; virtual = 0; next }
    virtual && !/:/ { provided[package] = provided[package] " " $1 }
    END {
      queue[n = 1] = "npm"
      seen["npm"]
      for (i = 1; i <= n; i++) {
        count = queue[i] == "node-gyp" ? 0 : split(needs[queue[i]], names)
        for (j = 1; j <= count; j++) if (names[j] ~ /^node-/ && !(names[j] in seen)) { seen[names[j]]; queue[++n] = names[j] }
        count = split(provided[queue[i]], names)
        for (j = 1; j <= count; j++) if (names[j] ~ /^node-/) also[names[j]]
      }
      for (name in also) seen[name]
      for (name in seen) print name
    }'
}

# unpack puts that into build/npm; it fails where Debian's packages are made otherwise than they are now.
unpack() {
  rm -rf build/npm && mkdir -p build/npm/deb && cd build/npm/deb || return 1
  apt-get download -qq $(closure) || return 1
  for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C .. --wildcards './usr/share/nodejs/*' 2>/dev/null || true # some hold documentation only
  done
  cd .. && mv usr/share/nodejs node_modules && rm -rf deb usr && node node_modules/npm/bin/npm-cli.js --version
}

export PATH=$root/build/node/node_modules/.bin:$PATH
command -v node >/dev/null || deploy/toolchain.sh dashboard
if ! command -v npm >/dev/null; then
  if [[ -e build/npm/node_modules ]] || (unpack) >"$log" 2>&1; then
    npm() { node "$root/build/npm/node_modules/npm/bin/npm-cli.js" "$@"; }
  else
    deploy/toolchain.sh npm
  fi
fi
if ! recent; then
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
  mkdir -p build/node
  quietly npm install --prefix build/node --no-save --no-audit --no-fund "node-linux-$arch@22.23.3"
  hash -r
  recent || { echo "dashboard: Node 20.19 or newer is needed, and could not be had" >&2; exit 1; }
fi

cd controller/dashboard
[[ ${1:-} ]] || echo "building the dashboard (a minute the first time)"
# Not `npm ci`: newer ones refuse a lock file without the packages of other platforms that the registry did not list.
[[ node_modules/.package-lock.json -nt package-lock.json ]] || quietly npm install --no-save --no-audit --no-fund
case ${1:-} in
  test) npm test --silent -- "${@:2}" ;;
  film) node e2e/film.mjs ;;
  *) quietly npm run build ;;
esac
