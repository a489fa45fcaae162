#!/usr/bin/env bash
# version.sh: this checkout's version, as `git describe` gives it or, with `debian`, as dpkg compares it.
#
#   v1.2.0 is 1.2.0, four commits later 1.2.0+4.gabc1234; before the first tag 0~20261122.gabc1234; changed files: +dirty.
set -euo pipefail
cd "$(dirname "$0")/.."
described=$(git describe --tags --always --dirty)
[[ ${1-} == debian ]] || { echo "$described"; exit 0; }
dirty=''
[[ $described == *-dirty ]] && dirty=+dirty described=${described%-dirty}
if [[ $described =~ ^v?([0-9][0-9A-Za-z.]*)-([0-9]+)-(g[0-9a-f]+)$ ]]; then
  echo "${BASH_REMATCH[1]}+${BASH_REMATCH[2]}.${BASH_REMATCH[3]}$dirty"
elif git describe --tags --exact-match >/dev/null 2>&1 && [[ $described =~ ^v?([0-9][0-9A-Za-z.]*)$ ]]; then
  echo "${BASH_REMATCH[1]}$dirty"
else
  echo "0~$(TZ=UTC git log -1 --date=format-local:%Y%m%d --format=%cd).g$(git rev-parse --short HEAD)$dirty"
fi
