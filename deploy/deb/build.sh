#!/usr/bin/env bash
# build.sh: Debian packages dvr (node, command line) and dvr-dataplane from bin/, by dpkg-deb alone.
#
#   deploy/deb/build.sh [OUT]     OUT (build/packages) gets dvr_VERSION_ARCH.deb, dvr-dataplane_VERSION_ARCH.deb
#
# The same binaries at the same commit make the same bytes: times are the commit's (or SOURCE_DATE_EPOCH), owners root.
#   DVR_BIN      where the binaries are (bin/)
#   COMPRESSION  xz, or none for tests
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
from=$top/deploy/deb
bin=${DVR_BIN:-$top/bin}
out=${1:-$top/build/packages}
umask 022
export LC_ALL=C TZ=UTC
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

for binary in dvr dvr-dataplane; do
  [[ -x $bin/$binary ]] || { echo "$bin/$binary is not built: make build" >&2; exit 1; }
done
for tool in dpkg-deb dpkg-shlibdeps strip; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt install dpkg-dev binutils" >&2; exit 1; }
done

version=$("$top/deploy/version.sh" debian)
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# pack NAME DEPENDS RECOMMENDS DESCRIPTION: the tree $work/NAME as a package, with the scripts of deploy/deb/NAME.
pack() {
  local name=$1 depends=$2 recommends=$3 description=$4 tree=$work/$1 file script
  install -d "$tree/DEBIAN"
  install -D -m 644 "$top/LICENSE" "$tree/usr/share/doc/$name/copyright"
  find "$tree/usr/share/man" -name '*.[18]' -exec gzip -9n {} +
  {
    echo "Package: $name"
    echo "Version: $version"
    echo "Architecture: $arch"
    echo "Maintainer: The DVR authors <dvr@localhost>"
    echo "Section: net"
    echo "Priority: optional"
    echo "Installed-Size: $(find "$tree" -type f -not -path "$tree/DEBIAN/*" -printf '%s\n' | awk '{n += int(($1 + 1023) / 1024)} END {print n}')"
    echo "Depends: $depends"
    [[ -z $recommends ]] || echo "Recommends: $recommends"
    echo "Description: $description"
  } >"$tree/DEBIAN/control"
  (cd "$tree" && find etc -type f -printf '/%p\n' | sort) >"$tree/DEBIAN/conffiles"
  (cd "$tree" && find usr lib -type f -print0 2>/dev/null | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
  for script in postinst prerm postrm; do
    install -m 755 "$from/$name/$script" "$tree/DEBIAN/$script"
  done
  file=$out/${name}_${version}_$arch.deb
  # One thread: what several compress depends on how many there are.
  dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --threads-max=1 --build "$tree" "$file.new" >/dev/null
  mv "$file.new" "$file"
  echo "$file"
}

tree=$work/dvr
install -D -m 755 "$bin/dvr" "$tree/usr/bin/dvr"
install -D -m 644 "$from/dvr/dvr-node.service" "$tree/lib/systemd/system/dvr-node.service"
install -D -m 644 "$from/dvr/node.env" "$tree/etc/dvr/node.env"
install -d "$tree/usr/share/man/man1" "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions" "$tree/usr/share/fish/vendor_completions.d"
"$bin/dvr" man "$tree/usr/share/man/man1"
"$bin/dvr" completion bash >"$tree/usr/share/bash-completion/completions/dvr"
"$bin/dvr" completion zsh >"$tree/usr/share/zsh/vendor-completions/_dvr"
"$bin/dvr" completion fish >"$tree/usr/share/fish/vendor_completions.d/dvr.fish"
# As in the source, so that their links lead somewhere; without the pictures.
for doc in README.md SECURITY.md CHANGELOG.md docs/{architecture,capacity,operations,performance,protocol,reference,reliability,security,tutorial}.md docs/decisions; do
  install -d "$tree/usr/share/doc/dvr/$(dirname "$doc")"
  cp -r --no-preserve=mode,ownership "$top/$doc" "$tree/usr/share/doc/dvr/$doc"
done
pack dvr passwd '' "distributed distance-vector router: node and command line
 Routes of Linux routers are changed over HTTP on any node of a cluster; every
 change is a commit in one log, and data planes (dvr-dataplane) install them.
 .
 dvr-node.service is not started by the installation: set /etc/dvr/node.env first."

tree=$work/dvr-dataplane
install -D -m 755 "$bin/dvr-dataplane" "$tree/usr/bin/dvr-dataplane"
strip --strip-unneeded -R .comment "$tree/usr/bin/dvr-dataplane"
install -D -m 644 "$from/dvr-dataplane/dvr-dataplane.service" "$tree/lib/systemd/system/dvr-dataplane.service"
install -D -m 644 "$from/dvr-dataplane/dataplane.env" "$tree/etc/dvr/dataplane.env"
install -d "$tree/usr/share/man/man8"
{
  printf '%s\n' '.TH DVR\-DATAPLANE 8 "" "dvr" "DVR"' '.SH NAME' 'dvr\-dataplane \- the data plane of a DVR router' '.SH DESCRIPTION' '.nf'
  "$bin/dvr-dataplane" --help | sed 's/\\/\\e/g; s/-/\\-/g; s/^\([.'"'"']\)/\\\&\1/'
  printf '%s\n' '.fi' '.SH FILES' '.TP' '.I /etc/dvr/dataplane.env' 'settings of dvr\-dataplane.service' '.TP' '.I /var/lib/dvr/dataplane' 'its state: the table that it forwards by' '.SH SEE ALSO' '.BR dvr (1)'
} >"$tree/usr/share/man/man8/dvr-dataplane.8"
# What it is linked to, in the versions that Debian's symbols files name.
mkdir -p "$work/shlibs/debian"
printf 'Source: dvr\n\nPackage: dvr-dataplane\nArchitecture: any\n' >"$work/shlibs/debian/control"
libraries=$(cd "$work/shlibs" && dpkg-shlibdeps -O --ignore-missing-info "$tree/usr/bin/dvr-dataplane" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[[ -n $libraries ]] || { echo "what dvr-dataplane is linked to cannot be told" >&2; exit 1; }
pack dvr-dataplane "$libraries" 'iproute2' "distributed distance-vector router: data plane
 Keeps the forwarding table of one router in step with a DVR node, and the
 kernel's routes or XDP programs equal to it.
 .
 dvr-dataplane.service is not started by the installation: it needs its router's
 name in /etc/dvr/dataplane.env."
