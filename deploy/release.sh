#!/usr/bin/env bash
# release.sh: what a release consists of, from bin/: a tarball, Debian packages, a bill of materials, checksums.
#
#   deploy/release.sh [OUT]     OUT (build/dist) gets dvr_VERSION_linux_ARCH.tar.gz, *.deb, dvr_VERSION.cdx.json, SHA256SUMS
#
# The same binaries at the same commit make the same bytes. DVR_BIN and COMPRESSION are deploy/deb/build.sh's; none
# also compresses the tarball less.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
bin=${DVR_BIN:-$top/bin}
out=${1:-$top/build/dist}
umask 022
export LC_ALL=C TZ=UTC DVR_BIN=$bin
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
programs=(dvr dvr-dataplane libdvrlpm.so)
for file in "${programs[@]}"; do
  [[ -e $bin/$file ]] || { echo "$bin/$file is not built: make build" >&2; exit 1; }
done

version=$("$top/deploy/version.sh")
version=${version#v}
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
rm -f "$out"/dvr*.deb "$out"/dvr_*.tar.gz "$out"/dvr_*.cdx.json "$out/SHA256SUMS"

# The libraries that the data plane is linked to, and what it was built with.
# Where /lib is /usr/lib, dpkg knows a library under either name.
mapfile -t libraries < <(ldd "$bin/dvr-dataplane" | awk '$3 ~ "^/" {print $3}')
mapfile -t linked < <(dpkg-query -S "${libraries[@]}" "${libraries[@]/#//usr}" 2>/dev/null | sed 's/: .*//; s/:.*//' | sort -u)
mapfile -t building < <("$top/deploy/toolchain.sh" --list build)
{
  dpkg-query -W -f '${Package} ${Version} ${Architecture} linked\n' "${linked[@]}"
  dpkg-query -W -f '${Package} ${Version} ${Architecture} build\n' "${building[@]}"
} | sort -u >"$work/packages"
grep -q ' linked$' "$work/packages" || { echo "what dvr-dataplane is linked to cannot be told" >&2; exit 1; }
distribution=$(. /etc/os-release && echo "${ID:-linux}-${VERSION_ID:-unknown}")
(cd "$top" && go run ./cmd/dvr-sbom --version "$version" --time "$SOURCE_DATE_EPOCH" --distribution "$distribution" \
  --packages "$work/packages" "${programs[@]/#/$bin/}") >"$work/dvr.cdx.json"
install -m 644 "$work/dvr.cdx.json" "$out/dvr_$version.cdx.json"

name=dvr_${version}_linux_$arch
tree=$work/$name
install -d "$tree/bin" "$tree/man/man1" "$tree/docs"
install -m 755 "${programs[@]/#/$bin/}" "$tree/bin/"
install -m 644 "$top/LICENSE" "$top/README.md" "$tree/"
install -m 644 "$top"/docs/*.md "$tree/docs/"
install -m 644 "$work/dvr.cdx.json" "$tree/"
"$bin/dvr" man "$tree/man/man1"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=ustar -cf - "$name" | gzip -n"$([[ ${COMPRESSION:-xz} == none ]] && echo 1 || echo 9)" >"$out/$name.tar.gz"

"$top/deploy/deb/build.sh" "$out" >/dev/null
(cd "$out" && sha256sum ./*.tar.gz ./*.deb ./*.cdx.json | sed 's, \./, ,' >SHA256SUMS)
(cd "$out" && ls SHA256SUMS ./*.tar.gz ./*.deb ./*.cdx.json)
