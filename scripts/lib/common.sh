# shellcheck shell=bash
# Shared by the operator scripts: messages, the regions of an environment, connections to agents.
# Source it; the caller sets -euo pipefail.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NAMESPACE=regionmesh
# Timeout of one request, in seconds.
REQUEST_S=5
FAILURES=0

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
# End the script: 1 failed, 2 bad usage.
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
bad_usage() { printf 'error: %s\n\n' "$*" >&2; usage >&2; exit 2; }

# The outcome of one check; `conclude` fails if any check failed.
ok() { printf '  ok    %s\n' "$*"; }
bad() { printf '  FAIL  %s\n' "$*"; FAILURES=$((FAILURES + 1)); }
conclude() {
  if [ "$FAILURES" -gt 0 ]; then
    say "$FAILURES check(s) failed"
    exit 1
  fi
  say "all checks passed"
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
  done
}

# Runs a command that changes something; with --plan, prints it.
change() {
  if [ -n "${PLAN:-}" ]; then
    printf 'would run: %s\n' "$*"
  else
    "$@"
  fi
}

# The value of an option that takes one.
value_of() {
  if [ $# -lt 2 ] || [ -z "$2" ]; then bad_usage "$1 needs a value"; fi
  printf '%s' "$2"
}

is_name() { [[ "$1" =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]; }

# The folder of an environment's settings; ends the script if there is none.
environment_folder() {
  is_name "$1" || bad_usage "\"$1\" is not the name of an environment"
  local folder="${REGIONMESH_ENVIRONMENTS:-$ROOT/environments}/$1"
  [ -d "$folder" ] ||
    fail "there is no environment $1: copy environments/example to environments/$1 and edit it"
  printf '%s' "$folder"
}

# The NAME=VALUE lines of a file, or only NAME's: settings_of FILE [NAME]. Expands nothing.
settings_of() { grep -E "^${2:-[A-Za-z0-9_-]+}=" "$1" || true; }

# The value of one setting; empty if the file does not have it.
setting_of() { settings_of "$1" "$2" | head -n 1 | cut -d = -f 2-; }

# The regions of an environment: those that contexts.env names, in its order, one a line.
regions_of() { settings_of "$1/contexts.env" | cut -d = -f 1; }

# The kubectl context of a region.
context_of() {
  local context
  context=$(setting_of "$1/contexts.env" "$2")
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

# GET of a URL: the body on standard output; fails unless 2xx.
get() { curl --silent --show-error --fail --max-time "$REQUEST_S" "$1"; }
# The status code alone; 000 without an answer.
status_of() {
  curl --silent --output /dev/null --max-time "$REQUEST_S" --write-out '%{http_code}' "$1" || true
}

FORWARDS=()
end_forwards() {
  local pid
  for pid in "${FORWARDS[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
}

# Forwards a local port to a service of a region's cluster; sets FORWARDED to 127.0.0.1:PORT.
forward() {
  local folder=$1 region=$2 service=$3 port=$4 out tries
  out=$(mktemp)
  in_region "$folder" "$region" port-forward "service/$service" ":$port" >"$out" 2>&1 &
  FORWARDS+=($!)
  trap end_forwards EXIT
  FORWARDED=
  for tries in {1..50}; do
    if [[ $(<"$out") =~ 'Forwarding from '(127\.0\.0\.1:[0-9]+) ]]; then
      FORWARDED=${BASH_REMATCH[1]}
      break
    fi
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
