#!/usr/bin/env bash
# vulnerabilities.sh: holds a Go program of DVR against the database of known vulnerabilities (govulncheck, vuln.go.dev).
#
#   deploy/vulnerabilities.sh [PROGRAM]     bin/dvr by default
#
# Where the database cannot be reached it says so and lists what is linked, with versions, to be checked elsewhere.
# Exit status: 0 none is known, or nothing could be asked; 1 there are some, or the check failed; 2 there is no program.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
program=${1:-$top/bin/dvr}
[[ -x $program ]] || { echo "$program is not built: make go" >&2; exit 2; }

out=$(cd "$top" && GOFLAGS='' go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 -mode=binary "$program" 2>&1) && { echo "$out"; exit 0; }
if [[ $out != *"fetching vulnerabilities"* ]]; then
  echo "$out" >&2
  exit 1
fi
why=${out##*fetching vulnerabilities: }
echo "NOT CHECKED for known vulnerabilities, the database cannot be reached: ${why%%$'\n'*}"
echo "$program is built with $(go version "$program" | awk '{print $NF}') of:"
go version -m "$program" | awk '$1 == "dep" {printf "  %s %s\n", $2, $3}'
