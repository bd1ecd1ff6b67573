#!/bin/sh
# Creates what the agents of docker-compose.yml need: an authority, certificates and the API token.
# Every start issues new certificates (90 days); authority and token stay.
set -eu
authority=/etc/regionmesh/authority identity=/etc/regionmesh/identity
umask 077
if [ ! -f "$authority/ca.key" ]; then
  regionmesh ca init --mesh compose.regionmesh.test --dir "$authority"
fi
for region in us-west-2 eu-west-1 ap-south-1; do
  rm -f "$identity/$region.node-0.pem" "$identity/$region.node-0.key"
  regionmesh ca issue --dir "$authority" --region "$region" --agent node-0 --out "$identity" >/dev/null
done
if [ ! -f "$identity/token" ]; then
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$identity/token.new"
  mv "$identity/token.new" "$identity/token"
fi
