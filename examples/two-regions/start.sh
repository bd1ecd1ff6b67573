#!/usr/bin/env bash
# Runs a mesh of two regions and a witness on this machine, one agent per region, until Ctrl-C.
# Usage: examples/two-regions/start.sh [DIR]     DIR keeps certificates, stores and logs;
#                                                default: .two-regions
# Environment: REGIONMESH, the command (default: regionmesh)
set -euo pipefail

here=$(dirname "$(realpath "$0")")
regionmesh=${REGIONMESH:-regionmesh}
mkdir -p "${1:-.two-regions}"
MESH_DIR=$(realpath "${1:-.two-regions}")
export MESH_DIR
# The configurations say which agent has which address.
api() { sed -n 's|^api = "\(.*\)"|http://\1|p' "$here/$1.toml"; }

if [ ! -e "$MESH_DIR/token" ]; then
  "$regionmesh" ca init --mesh two.test --dir "$MESH_DIR/ca"
  for region in us-east-1 eu-west-1; do
    "$regionmesh" ca issue --dir "$MESH_DIR/ca" --region "$region" --agent node-0 \
      --out "$MESH_DIR/$region"
  done
  (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$MESH_DIR/token")
fi

agents=()
trap 'kill "${agents[@]}" 2>/dev/null; wait' EXIT
trap 'exit 0' INT TERM
for region in us-east-1 eu-west-1; do
  "$regionmesh" agent --config "$here/$region.toml" >"$MESH_DIR/$region.log" 2>&1 &
  agents+=($!)
done

# Waits for a minute, or until the agent ends: await_ready REGION PID
await_ready() {
  for _ in {1..60}; do
    if curl -sf "$(api "$1")/readyz" >/dev/null; then return; fi
    kill -0 "$2" 2>/dev/null || break
    sleep 1
  done
  printf 'error: %s is not ready; see %s/%s.log\n' "$1" "$MESH_DIR" "$1"
  exit 1
}
await_ready us-east-1 "${agents[0]}"
await_ready eu-west-1 "${agents[1]}"

printf 'Both regions are ready. In another terminal:\n'
printf '  export REGIONMESH_AGENT=%s,%s\n' "$(api us-east-1)" "$(api eu-west-1)"
printf '  export REGIONMESH_TOKEN_FILE=%s/token\n' "$MESH_DIR"
printf '  %s status\n' "$regionmesh"
# Ends when an agent ends, or by Ctrl-C.
wait -n
