#!/usr/bin/env bash
# Checks the mesh's monitoring: targets up, rules loaded and evaluated, recorded series present,
# alerts delivered, dashboards present. Read-only.
# Exit codes: 0 all checks passed, 1 some failed, 2 bad usage.
# shellcheck disable=SC2015  # `ok` can't fail, so `test && ok … || bad …` runs exactly one
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/check_monitoring.sh ENV [--region REGION] [options]
       scripts/check_monitoring.sh --prometheus URL [--alertmanager URL] [--grafana URL] [options]
With ENV it reaches the environment's servers through kubectl port-forward.
  --agents N       at least N agents must be scraped (default: 1)
  --wait SECONDS   retry until all checks pass, at most this long
  --plan           only print what would be checked
Environment: GRAFANA_USER (default: admin) and GRAFANA_PASSWORD. Prometheus in a cluster requires a
client certificate of the mesh: point CURL_HOME to a folder with a .curlrc that names cert, key and
cacert (docs/how-to/deploy-to-kubernetes.md#deploy).
USAGE
}

ENV='' REGION='' PROMETHEUS='' ALERTMANAGER='' GRAFANA='' AGENTS=1 WAIT=0 PLAN=''
while [ $# -gt 0 ]; do
  case $1 in
    --prometheus) PROMETHEUS=$(value_of "$@"); shift 2 ;;
    --alertmanager) ALERTMANAGER=$(value_of "$@"); shift 2 ;;
    --grafana) GRAFANA=$(value_of "$@"); shift 2 ;;
    --agents) AGENTS=$(value_of "$@"); shift 2 ;;
    --wait) WAIT=$(value_of "$@"); shift 2 ;;
    --region) REGION=$(value_of "$@"); shift 2 ;;
    --plan) PLAN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) bad_usage "unknown option $1" ;;
    *) [ -z "$ENV" ] || bad_usage "one environment at a time"; ENV=$1; shift ;;
  esac
done
[ -n "$ENV" ] || [ -n "$PROMETHEUS" ] || bad_usage "give ENV or --prometheus URL"
[[ "$WAIT" =~ ^[0-9]+$ && "$AGENTS" =~ ^[0-9]+$ ]] ||
  bad_usage "--wait and --agents take whole numbers"
need curl jq

check_prometheus() {
  local url=$1 targets down up rules broken recorded name count
  say "Prometheus $url"
  if ! targets=$(get "$url/api/v1/targets?state=active" 2>&1); then
    bad "$targets"
    return
  fi
  up=$(jq '[.data.activeTargets[]
    | select(.labels.job == "regionmesh-agents" and .health == "up")] | length' <<<"$targets")
  [ "$up" -ge "$AGENTS" ] && ok "$up agent(s) scraped" ||
    bad "$up agent(s) scraped, $AGENTS expected"
  down=$(jq -r '[.data.activeTargets[] | select(.health != "up")
    | "\(.labels.job) \(.scrapeUrl): \(.lastError)"] | join("; ")' <<<"$targets")
  [ -z "$down" ] && ok "every target is up" || bad "down: $down"
  if ! rules=$(get "$url/api/v1/rules" 2>&1); then
    bad "$rules"
    return
  fi
  count=$(jq '[.data.groups[].rules[]] | length' <<<"$rules")
  [ "$count" -gt 0 ] && ok "$count rules loaded" || bad "no rules are loaded"
  broken=$(jq -r '[.data.groups[].rules[] | select(.health == "err")
    | "\(.name): \(.lastError)"] | join("; ")' <<<"$rules")
  [ -z "$broken" ] && ok "no rule has an error" || bad "$broken"
  # A rule that was never evaluated has no error either.
  broken=$(jq -r '[.data.groups[].rules[] | select(.health == "unknown") | .name]
    | unique | join(", ")' <<<"$rules")
  [ -z "$broken" ] && ok "every rule was evaluated" || bad "not evaluated yet: $broken"
  recorded=$(jq -r '[.data.groups[].rules[] | select(.type == "recording") | .name]
    | unique | .[]' <<<"$rules")
  # One query for all names.
  if ! count=$(curl --silent --show-error --fail --max-time "$REQUEST_S" \
    --data-urlencode 'query=count by (__name__) ({__name__=~"region:.+|mesh:.+"})' \
    "$url/api/v1/query" 2>&1); then
    bad "recorded series: $count"
    return
  fi
  count=$(jq -r '.data.result[].metric.__name__' <<<"$count")
  local without=()
  for name in $recorded; do grep -qxF "$name" <<<"$count" || without+=("$name"); done
  # These have series wherever an agent is scraped.
  for name in region:agents_up:sum region:leader_known:max mesh:verdict:ratio; do
    grep -qxF "$name" <<<"$count" ||
      bad "$name has no series: scrape agents, and load rules/region.yml and rules/mesh.yml"
  done
  if [ "${#without[@]}" -eq 0 ]; then
    ok "every recording rule has series"
  else
    say "  note  no series (no data yet, or a feature that is not in use): ${without[*]}"
  fi
  name=$(jq -r '[.data.groups[].rules[]
    | select(.type == "alerting" and .state == "firing") | .name]
    | unique | map(select(. != "RegionMeshWatchdog")) | join(", ")' <<<"$rules")
  [ -z "$name" ] && ok "no alert is firing" || bad "firing: $name"
  if [ -n "$ALERTMANAGER" ]; then
    count=$(get "$url/api/v1/alertmanagers" | jq '.data.activeAlertmanagers | length') || count=0
    [ "${count:-0}" -gt 0 ] && ok "sends alerts to $count Alertmanager(s)" ||
      bad "sends alerts to no Alertmanager"
  fi
}

check_alertmanager() {
  local url=$1 status alerts
  say "Alertmanager $url"
  if ! status=$(get "$url/api/v2/status" 2>&1); then
    bad "$status"
    return
  fi
  ok "runs version $(jq -r .versionInfo.version <<<"$status")"
  alerts=$(get "$url/api/v2/alerts" || echo '[]')
  # The watchdog always fires, so its presence shows that alerts arrive.
  if jq -e '[.[] | select(.labels.alertname == "RegionMeshWatchdog")] | length > 0' >/dev/null \
    <<<"$alerts"; then
    ok "the watchdog alert arrived"
  else
    bad "the watchdog alert did not arrive, so no other alert would"
  fi
}

check_grafana() {
  local url=$1 user=${GRAFANA_USER:-admin} found wanted title
  say "Grafana $url"
  [ "$(status_of "$url/api/health")" = 200 ] && ok "is running" ||
    { bad "does not answer"; return; }
  if [ -z "${GRAFANA_PASSWORD:-}" ]; then
    say "  note  GRAFANA_PASSWORD is not set: dashboards were not checked"
    return
  fi
  # In a file: other users could read an argument.
  found=$(curl --silent --fail --max-time "$REQUEST_S" \
    --config <(printf 'user = "%s:%s"\n' "$user" "$GRAFANA_PASSWORD") \
    "$url/api/search?type=dash-db" | jq -r '.[].title' || true)
  wanted=$(jq -r .title "$ROOT"/monitoring/grafana/dashboards/*.json)
  while IFS= read -r title; do
    grep -qxF "$title" <<<"$found" && ok "dashboard $title" || bad "dashboard $title is missing"
  done <<<"$wanted"
}

check_all() {
  FAILURES=0
  if [ -n "$PROMETHEUS" ]; then check_prometheus "${PROMETHEUS%/}"; fi
  if [ -n "$ALERTMANAGER" ]; then check_alertmanager "${ALERTMANAGER%/}"; fi
  if [ -n "$GRAFANA" ]; then check_grafana "${GRAFANA%/}"; fi
}

# Repeats the checks until all pass or the time is up, and prints the last report.
until_passed() {
  local end=$((SECONDS + WAIT)) report
  report=$(mktemp)
  while :; do
    check_all >"$report" 2>&1
    if [ "$FAILURES" -eq 0 ] || [ "$SECONDS" -ge "$end" ]; then break; fi
    sleep 1
  done
  cat "$report"
  rm -f "$report"
}

if [ -z "$ENV" ]; then
  if [ -n "$PLAN" ]; then
    for url in $PROMETHEUS $ALERTMANAGER $GRAFANA; do say "would check $url"; done
    exit 0
  fi
  until_passed
  conclude
  exit 0
fi
folder=$(environment_folder "$ENV")
need kubectl
[ -z "$REGION" ] || grep -qxF "$REGION" <<<"$(regions_of "$folder")" ||
  fail "$folder/contexts.env does not name region $REGION"
[ -n "$(regions_of "$folder")" ] || fail "$folder/contexts.env names no region"
total=0
for region in $(regions_of "$folder"); do
  [ -z "$REGION" ] || [ "$REGION" = "$region" ] || continue
  if [ -n "$PLAN" ]; then
    say "would check Prometheus, Alertmanager and Grafana of $region," \
      "through context $(context_of "$folder" "$region")"
    continue
  fi
  say "== $region"
  PROMETHEUS='' ALERTMANAGER='' GRAFANA=''
  if forward "$folder" "$region" regionmesh-prometheus 9090; then
    PROMETHEUS=https://$FORWARDED
  else
    total=$((total + 1))
  fi
  if forward "$folder" "$region" regionmesh-alertmanager 9093; then
    ALERTMANAGER=http://$FORWARDED
  else
    total=$((total + 1))
  fi
  if forward "$folder" "$region" regionmesh-grafana 3000; then
    GRAFANA=http://$FORWARDED
  else
    total=$((total + 1))
  fi
  until_passed
  total=$((total + FAILURES))
done
[ -z "$PLAN" ] || exit 0
FAILURES=$total
conclude
