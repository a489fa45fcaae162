#!/usr/bin/env bash
# toolchain.sh: installs what DVR's builds need beyond Go, git and make, from Debian's own packages.
#
#   deploy/toolchain.sh [--list] [build] [dashboard] [npm] [browser] [film] [test] [robustness] [bench] [lint] [packages] [docker]     what to prepare for; build by default
#
#   --list names the packages and installs nothing
#   build  the C++ data plane: compiler, CMake, gRPC, protobuf, libbpf, spdlog, CLI11, GoogleTest, benchmark
#   dashboard  Node, where there is none
#   npm    npm the slow way: 376 packages (see deploy/dashboard.sh)
#   browser  Chromium, which runs the tests of the dashboard
#   film  ffmpeg, which makes a GIF of what the browser showed
#   test, robustness, bench and lint include build:
#   test   the second compiler with its sanitizers and libFuzzer, the tools that the tests call
#   robustness  namespaces, packet filters and strace, which make the faults
#   bench  strace, which slows fdatasync down; DPDK, whose rte_fib is the lookup engine's peer; iproute2, the kernel sink's; clang for the BPF program that generates packets; zstd for the tables
#   packages  what tells a program's dependencies as Debian names them
#   docker  Docker's engine, docker-compose and what makes a Debian root, which try the containers
#   lint   the second compiler, which compiles the BPF program, too, bpftool, which finishes that, and clang-format
#
# Idempotent: where everything is installed it asks dpkg only and prints nothing. Otherwise it needs root, a Debian 12
# (or newer) and its package mirror. Exit status: 0 everything is there, 1 it could not be installed, 2 wrong usage.
set -euo pipefail

usage() { sed -n '2,21s/^# \{0,1\}//p' "$0"; }
die() { printf 'toolchain: %s\n' "$*" >&2; exit 1; }

build=(
  cmake g++ libbenchmark-dev libbpf-dev libcli11-dev libfmt-dev libgrpc++-dev libgtest-dev libmnl-dev libprotobuf-dev libspdlog-dev
  ninja-build protobuf-compiler protobuf-compiler-grpc
)
dashboard=(nodejs)
npm=(npm)
browser=(chromium)
film=(ffmpeg)
test=(clang-19 dpkg-dev etcd-client iproute2 iptables libclang-rt-19-dev nftables procps zstd)
robustness=(iproute2 iptables nftables strace)
bench=(clang-19 iproute2 libdpdk-dev pkg-config strace zstd)
lint=(bpftool clang-19 clang-format-19)
packages=(binutils dpkg-dev)
docker=(ca-certificates curl debootstrap docker-compose docker.io iproute2)

list=0
if [[ ${1-} == --list ]]; then
  list=1
  shift
fi
wanted=()
(($#)) || set -- build
for what in "$@"; do
  case $what in
    dashboard) wanted+=("${dashboard[@]}") ;;
    npm) wanted+=("${npm[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    film) wanted+=("${film[@]}") ;;
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${build[@]}" "${test[@]}") ;;
    robustness) wanted+=("${build[@]}" "${robustness[@]}") ;;
    bench) wanted+=("${build[@]}" "${bench[@]}") ;;
    packages) wanted+=("${packages[@]}") ;;
    docker) wanted+=("${docker[@]}") ;;
    lint) wanted+=("${build[@]}" "${lint[@]}") ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

if ((list)); then
  printf '%s\n' "${wanted[@]}" | sort -u
  exit 0
fi

command -v dpkg-query >/dev/null ||
  die "this is no Debian: install the equivalents of ${wanted[*]} yourself"

# absent prints the wanted packages that dpkg does not know as installed.
absent() {
  local have
  have=$(dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' "${wanted[@]}" 2>/dev/null |
    awk '$1 == "installed" { sub(/:.*/, "", $2); print $2 }') || true
  printf '%s\n' "${wanted[@]}" | sort -u | grep -vxF -f <(printf '%s\n' "${have:--}") || true
}

mapfile -t missing < <(absent)
((${#missing[@]})) || exit 0

((EUID == 0)) ||
  die "these packages are missing: ${missing[*]}
Run this as root: sudo $0 $*"

export DEBIAN_FRONTEND=noninteractive
# Another apt run is waited for instead of failing; a flaky mirror is asked again.
apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

printf 'toolchain: installing %s\n' "${missing[*]}" >&2
"${apt[@]}" update >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; die "apt-get install failed"; }

mapfile -t missing < <(absent)
((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
