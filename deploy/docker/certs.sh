#!/usr/bin/env bash
# certs.sh: certificates for docker-compose.secure.yml, by `dvr cert` in the image dvr.
#
#   deploy/docker/certs.sh     in $DVR_CERTS (certs beside this script): authority/, which no container sees, and for each
#                              service and for operator/ a directory with ca.crt, ca.crl, tls.crt and tls.key
#
# Run it again to renew what ends within 30 days, or after `dvr cert revoke --dir certs/authority`: what runs reads the new
# files by itself. Keep authority/ secret, best elsewhere: its ca.key makes every certificate that the cluster accepts.
set -euo pipefail
cd "$(dirname "$0")"
certs=${DVR_CERTS:-$PWD/certs}
(umask 077 && mkdir -p "$certs")
certs=$(realpath "$certs")

# As root of the container, since keys must be readable to the image's user alone.
exec docker run --rm --network none --user 0:0 -v "$certs:/work" -e OWNER="$(id -u):$(id -g)" "${DVR_IMAGE:-dvr}" sh -euc '
umask 077
cd /work
[ -e authority/ca.crt ] || dvr cert init --dir authority
# deliver SERVICE OWNER KIND NAME [--host HOST]: files are replaced, never changed, so that nobody reads half of one.
deliver() {
  service=$1 owner=$2 kind=$3 name=$4
  shift 4
  [ -e "authority/$kind/$name.crt" ] || dvr cert issue "$kind" "$name" "$@" --dir authority
  mkdir -p "$service"
  for file in ca.crt:ca.crt ca.crl:ca.crl "$kind/$name.key:tls.key" "$kind/$name.crt:tls.crt"; do
    cp "authority/${file%%:*}" "$service/.new"
    chown "$owner" "$service/.new"
    mv "$service/.new" "$service/${file##*:}"
  done
  chown "$owner" "$service"
}
dvr cert renew --within 30 --dir authority
for n in 1 2 3; do
  deliver "control-plane-$n" 10001:10001 node "node-$n" --host "control-plane-$n"
  deliver "data-plane-$n" 10001:10001 dataplane "r$n"
done
deliver operator "$OWNER" operator operator
chown -R "$OWNER" authority
'
