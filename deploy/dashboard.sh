#!/usr/bin/env bash
# dashboard.sh: builds the dashboard, which the next build of bin/dvr embeds; with the argument test it runs that
# bin/dvr and the dashboard's tests in Chromium.
#
# It needs Node 20.19 or newer and npm. Debian's npm is installed where there is none, and where the machine's Node is
# older than that (Debian 12), a newer one comes as an npm package into build/node, for this build alone.
set -euo pipefail
cd "$(dirname "$0")/.."

recent() { command -v node >/dev/null && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# quietly COMMAND… shows its output only if it fails.
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; echo "dashboard: \`$*\` failed; \`make go cpp\` builds the rest without it" >&2; exit 1; }; }

export PATH=$PWD/build/node/node_modules/.bin:$PATH
if ! recent; then
  command -v npm >/dev/null || deploy/toolchain.sh dashboard
  if ! recent; then
    echo "dashboard: fetching a newer Node as an npm package" >&2
    mkdir -p build/node
    quietly npm install --prefix build/node --no-save --no-audit --no-fund node@22.23.3 npm@11.6.0
    hash -r
    recent || { echo "dashboard: Node 20.19 or newer is needed, and could not be had" >&2; exit 1; }
  fi
fi
command -v npm >/dev/null || deploy/toolchain.sh dashboard

cd controller/dashboard
[[ ${1:-} == test ]] || echo "building the dashboard (a minute the first time)"
# Not `npm ci`: newer ones refuse a lock file without the packages of other platforms that the registry did not list.
[[ node_modules/.package-lock.json -nt package-lock.json ]] || quietly npm install --no-save --no-audit --no-fund
if [[ ${1:-} == test ]]; then exec npm test --silent; fi
quietly npm run build
