# shellcheck shell=bash
# What the operator's scripts share: how they speak, which regions an environment has, how an agent is reached.
# Sourced, never run; the caller has set -euo pipefail.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NAMESPACE=regionmesh
# How long one request may take, seconds.
REQUEST_S=5
FAILURES=0

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
# Ends the script: 1 failed, 2 bad usage.
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
bad_usage() { printf 'error: %s\n\n' "$*" >&2; usage >&2; exit 2; }

# One check's outcome; the script goes on and fails at its end.
ok() { printf '  ok    %s\n' "$*"; }
bad() { printf '  FAIL  %s\n' "$*"; FAILURES=$((FAILURES + 1)); }
conclude() {
  if [ "$FAILURES" -gt 0 ]; then
    say "$FAILURES check(s) failed"
    exit 1
  fi
  say "all is well"
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
  done
}

# Runs a command that changes something, or only says so.
change() {
  if [ -n "${PLAN:-}" ]; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

# The value of an option that needs one.
value_of() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then bad_usage "$1 needs a value"; fi
  printf '%s' "$2"
}

is_name() { [[ "$1" =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]; }

# The folder of an environment's settings; ends the script where there is none.
environment_folder() {
  is_name "$1" || bad_usage "\"$1\" is not the name of an environment"
  local folder="${REGIONMESH_ENVIRONMENTS:-$ROOT/environments}/$1"
  [ -d "$folder" ] || fail "there is no environment $1: copy environments/example to environments/$1 and edit it"
  printf '%s' "$folder"
}

# Regions of an environment: those that contexts.env names, in its order, one a line.
regions_of() { sed -n 's/^\([a-z0-9-]*\)=.*/\1/p' "$1/contexts.env"; }

# The kubectl context of a region.
context_of() {
  local context
  context=$(sed -n "s/^$2=//p" "$1/contexts.env" | head -n 1)
  [ -n "$context" ] || fail "$1/contexts.env names no context for region $2"
  printf '%s' "$context"
}

# kubectl in a region's cluster: in_region FOLDER REGION ARGUMENTS...
in_region() {
  local folder=$1 region=$2 context
  shift 2
  context=$(context_of "$folder" "$region")
  kubectl --context "$context" --namespace "$NAMESPACE" "$@"
}

# GET of a URL: the body on standard output, fails unless 2xx.
get() { curl --silent --show-error --fail --max-time "$REQUEST_S" "$1"; }
# The status code alone; 000 where nobody answers.
status_of() { curl --silent --output /dev/null --max-time "$REQUEST_S" --write-out '%{http_code}' "$1" || true; }

FORWARDS=()
end_forwards() {
  local pid
  for pid in "${FORWARDS[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
}

# Makes a service of a region's cluster reachable from here; sets FORWARDED to 127.0.0.1:PORT.
forward() {
  local folder=$1 region=$2 service=$3 port=$4 out tries
  out=$(mktemp)
  in_region "$folder" "$region" port-forward "service/$service" ":$port" >"$out" 2>&1 &
  FORWARDS+=($!)
  trap end_forwards EXIT
  FORWARDED=
  for tries in {1..50}; do
    FORWARDED=$(sed -n 's/^Forwarding from \(127\.0\.0\.1:[0-9]*\) .*/\1/p' "$out" | head -n 1)
    [ -z "$FORWARDED" ] || break
    kill -0 "${FORWARDS[-1]}" 2>/dev/null || break
    sleep 0.2
  done
  if [ -z "$FORWARDED" ]; then
    warn "$service of $region can't be reached ($tries tries): $(tail -n 1 "$out")"
    rm -f "$out"
    return 1
  fi
  rm -f "$out"
}
