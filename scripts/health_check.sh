#!/usr/bin/env bash
# Checks the mesh through its agents: alive, ready, one plan, one leader, healthy regions, models
# everywhere, valid certificates, no reported problem. Read-only.
# Exit codes: 0 all checks passed, 1 some failed, 2 bad usage.
# shellcheck disable=SC2015  # `ok` can't fail, so `test && ok … || bad …` runs exactly one
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/health_check.sh ENV [--region REGION] [options]
       scripts/health_check.sh --agent URL [--agent URL ...] [options]
With ENV it reaches the environment's agents through kubectl port-forward.
  --certificate-days N   certificates must be valid for N more days (default: a fifth of their
                         lifetime, at most 7 days, like the mesh's own alert)
  --wait SECONDS         retry until all checks pass, at most this long
  --plan                 only print what would be checked
USAGE
}

ENV='' REGION='' AGENTS=() DAYS='' WAIT=0 PLAN=''
while [ $# -gt 0 ]; do
  case $1 in
    --agent) AGENTS+=("$(value_of "$@")"); shift 2 ;;
    --region) REGION=$(value_of "$@"); shift 2 ;;
    --certificate-days) DAYS=$(value_of "$@"); shift 2 ;;
    --wait) WAIT=$(value_of "$@"); shift 2 ;;
    --plan) PLAN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) bad_usage "unknown option $1" ;;
    *) [ -z "$ENV" ] || bad_usage "one environment at a time"; ENV=$1; shift ;;
  esac
done
[ -n "$ENV" ] || [ "${#AGENTS[@]}" -gt 0 ] || bad_usage "give ENV or --agent URL"
[[ "$WAIT" =~ ^[0-9]+$ ]] || bad_usage "--wait takes whole seconds"
[[ "$DAYS" =~ ^([0-9]+(\.[0-9]+)?)?$ ]] || bad_usage "--certificate-days takes a number"
need curl jq

if [ -n "$ENV" ]; then
  folder=$(environment_folder "$ENV")
  need kubectl
  [ -z "$REGION" ] || grep -qxF "$REGION" <<<"$(regions_of "$folder")" ||
    fail "$folder/contexts.env does not name region $REGION"
  for region in $(regions_of "$folder"); do
    [ -z "$REGION" ] || [ "$REGION" = "$region" ] || continue
    if [ -n "$PLAN" ]; then
      say "would check an agent of $region, through context $(context_of "$folder" "$region")"
    elif forward "$folder" "$region" regionmesh-api 9080; then
      AGENTS+=("http://$FORWARDED")
    else
      bad "no agent of $region is reachable"
    fi
  done
fi
if [ -n "$PLAN" ]; then
  for agent in "${AGENTS[@]}"; do
    say "would check $agent: /healthz, /readyz, /v1/status, /metrics, /verdict/REGION"
  done
  exit 0
fi

# Without an agent nothing was checked.
[ "${#AGENTS[@]}" -gt 0 ] || bad "no agent is reachable"

# The value of a metric without labels.
metric() { awk -v name="$2" '$1 == name { print $2; exit }' <<<"$1"; }

# The body of an answer, whatever its status.
body_of() { curl -s --max-time "$REQUEST_S" "$1"; }

PLANS=() LEADERS=()
check_agent() {
  local url=$1 status metrics region regions verdict behind ready problems
  say "$url"
  [ "$(status_of "$url/healthz")" = 200 ] && ok "alive" ||
    bad "/healthz: $(body_of "$url/healthz" || echo 'no answer')"
  ready=$(body_of "$url/readyz" || true)
  if [ "$(jq -r '.ready // false' <<<"$ready" 2>/dev/null)" = true ]; then
    ok "ready"
  else
    bad "not ready: $(jq -rc '[.checks // {} | to_entries[] | select(.value != "ok")
      | "\(.key): \(.value)"] | join("; ")' <<<"$ready" 2>/dev/null)"
  fi
  if ! status=$(get "$url/v1/status" 2>&1); then
    bad "/v1/status: $status"
    return
  fi
  if ! jq -e '.regions and .agents' >/dev/null 2>&1 <<<"$status"; then
    bad "/v1/status does not return a mesh status"
    return
  fi
  PLANS+=("$(jq -r 'if .plan then "\(.plan.ballot.number)/\(.plan.seq)" else "none" end' \
    <<<"$status")")
  LEADERS+=("$(jq -r '.leader.agent // "none"' <<<"$status")")
  [ "${PLANS[-1]}" != none ] && ok "plan ${PLANS[-1]} (ballot/number)" ||
    bad "no plan: a majority of regions has never been connected"
  [ "${LEADERS[-1]}" != none ] && ok "leader ${LEADERS[-1]}" || bad "no leader"
  regions=$(jq -r '.regions[].region' <<<"$status")
  [ -n "$regions" ] || bad "/v1/status names no region"
  for region in $regions; do
    verdict=$(jq -r --arg r "$region" '.regions[] | select(.region == $r)
      | "\(.verdict) (\(.verdict_reason))"' <<<"$status")
    case $verdict in
      healthy*)
        [ "$(status_of "$url/verdict/$region")" = 200 ] && ok "$region healthy" ||
          bad "$region: healthy in /v1/status, but not in /verdict/$region"
        ;;
      *) bad "$region $verdict" ;;
    esac
  done
  behind=$(jq -r '[.agents[] | select(.alive and .holdings.missing > 0)
    | "\(.agent) lacks \(.holdings.missing) version(s)"] | join("; ")' <<<"$status")
  [ -z "$behind" ] && ok "every live agent holds every version" || bad "$behind"
  check_connections "$status"
  problems=$(jq -r '[.problems[]? | "\(.agent): \(.kind): \(.subject): \(.detail)"]
    | join("; ")' <<<"$status")
  [ -z "$problems" ] && ok "no agent reports a problem" || bad "$problems"
  if ! metrics=$(get "$url/metrics" 2>&1); then
    bad "/metrics: $metrics"
    return
  fi
  check_certificate "$metrics"
}

# Every live agent must have a connection to every other region. An agent that reports no
# connections fails the check, unless it runs another version: that must not block an upgrade.
check_connections() {
  local lost silent other
  lost=$(jq -r '[.agents[] | select(.alive and (.unreachable | length > 0))
    | "\(.agent) has no connection to \(.unreachable | join(", "))"] | join("; ")' <<<"$1")
  # shellcheck disable=SC2016  # jq's variables
  silent='(.regions | length) as $regions | .answered_by as $self
    | ([.agents[] | select(.agent == $self) | .version] | first) as $version
    | [.agents[] | select(.alive and $regions > 1
        and (.links | length == 0) and (.unreachable | length == 0))]
    | map(select((.version == $version) == $same) | .agent) | join(", ")'
  other=$(jq -r --argjson same false "$silent" <<<"$1")
  silent=$(jq -r --argjson same true "$silent" <<<"$1")
  [ -z "$other" ] || say "  note  another version, which reports no connections: $other"
  [ -z "$silent" ] || bad "no connections reported by $silent"
  [ -z "$lost" ] || bad "$lost"
  if [ "$(jq '[.agents[] | select(.alive)] | length' <<<"$1")" = 0 ]; then
    bad "no agent is alive"
  elif [ -z "$lost$silent$other" ]; then
    ok "every region is connected to every other"
  fi
}

# The certificate must be valid for --certificate-days, or a fifth of its lifetime, at most 7 days.
# Half a day if an earlier version does not export the lifetime.
check_certificate() {
  local expiry lifetime needed
  expiry=$(metric "$1" regionmesh_certificate_expiry_timestamp_seconds)
  lifetime=$(metric "$1" regionmesh_certificate_lifetime_seconds)
  if [ -n "$DAYS" ]; then
    needed=$(awk -v d="$DAYS" 'BEGIN { printf "%d", d * 86400 }')
  else
    needed=$(awk -v l="${lifetime:-0}" \
      'BEGIN { printf "%d", l == 0 ? 43200 : l / 5 < 604800 ? l / 5 : 604800 }')
  fi
  if [ -n "$expiry" ] && awk -v e="$expiry" -v n="$needed" -v now="$(date +%s)" \
    'BEGIN { exit !(e - now > n) }'; then
    ok "certificate valid until $(date -u -d "@$(printf '%.0f' "$expiry")" '+%Y-%m-%d %H:%M') UTC"
  else
    bad "certificate expires within $((needed / 3600)) h (at ${expiry:-an unknown time})"
  fi
}

check_all() {
  FAILURES=$1 PLANS=() LEADERS=()
  local agent
  for agent in "${AGENTS[@]}"; do check_agent "${agent%/}"; done
  if [ "$(printf '%s\n' "${PLANS[@]}" | sort -u | wc -l)" -gt 1 ]; then
    bad "agents have different plans: ${PLANS[*]}"
  fi
  if [ "$(printf '%s\n' "${LEADERS[@]}" | sort -u | wc -l)" -gt 1 ]; then
    bad "agents name different leaders: ${LEADERS[*]}"
  fi
}

unreached=$FAILURES end=$((SECONDS + WAIT))
while :; do
  report=$(mktemp)
  check_all "$unreached" >"$report" 2>&1
  if [ "$FAILURES" -eq 0 ] || [ "$SECONDS" -ge "$end" ]; then break; fi
  rm -f "$report"
  sleep 1
done
cat "$report"
rm -f "$report"
conclude
