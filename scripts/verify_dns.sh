#!/usr/bin/env bash
# Checks the mesh's DNS: every name server answers from the committed plan, never empty, and the
# parent zone delegates to them. Read-only.
# Exit codes: 0 all checks passed, 1 some failed, 2 bad usage.
# shellcheck disable=SC2015  # `ok` can't fail, so `test && ok … || bad …` runs exactly one
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/verify_dns.sh ENV [options]
       scripts/verify_dns.sh --zone ZONE --server HOST[:PORT] [--server ...] [options]
With ENV it checks the name servers that public DNS has for the environment's zone.
  --agent URL     compare answers with the plan and the addresses that this agent's API reports
  --resolver IP   query the delegation at this resolver instead of the system's
  --plan          only print what would be checked
USAGE
}

ENV='' ZONE='' SERVERS=() AGENT='' RESOLVER=() PLAN=''
while [ $# -gt 0 ]; do
  case $1 in
    --zone) ZONE=$(value_of "$@"); shift 2 ;;
    --server) SERVERS+=("$(value_of "$@")"); shift 2 ;;
    --agent) AGENT=$(value_of "$@"); shift 2 ;;
    --resolver) RESOLVER=("@$(value_of "$@")"); shift 2 ;;
    --plan) PLAN=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) bad_usage "unknown option $1" ;;
    *) [ -z "$ENV" ] || bad_usage "one environment at a time"; ENV=$1; shift ;;
  esac
done
need dig
if [ -n "$ENV" ]; then
  folder=$(environment_folder "$ENV")
  ZONE=${ZONE:-$(setting_of "$folder/mesh.env" ZONE)}
fi
[ -n "$ZONE" ] || bad_usage "give ENV, or --zone and --server"
ask_for=(+time=2 +tries=2)

# Why a query failed, taken from dig's output.
failure() {
  grep -oE 'status: [A-Z]+|timed out|refused|unreachable' | head -n 1 | grep . || echo 'no answer'
}

if [ "${#SERVERS[@]}" -eq 0 ]; then
  [ -n "$ENV" ] || bad_usage "give --server"
  if [ -n "$PLAN" ]; then
    say "would query the name servers of $ZONE," \
      "then each of them for SOA, NS, _plan.$ZONE and serving.$ZONE"
    exit 0
  fi
  say "delegation of $ZONE"
  # dig's own messages begin with a semicolon.
  mapfile -t SERVERS < <(dig "${RESOLVER[@]}" "${ask_for[@]}" +short NS "$ZONE" |
    grep -v '^;' | sed 's/\.$//' | sort)
  [ "${#SERVERS[@]}" -gt 0 ] && ok "name servers: ${SERVERS[*]}" ||
    { bad "public DNS has no NS records for $ZONE"; conclude; }
  # The zone is not signed: with a DS record, validating resolvers would reject every answer.
  ds=$(dig "${RESOLVER[@]}" "${ask_for[@]}" +noall +comments +answer DS "$ZONE" 2>&1 || true)
  if awk '$4 == "DS" { found = 1 } END { exit !found }' <<<"$ds"; then
    bad "the parent has a DS record for $ZONE; the zone is not signed"
  elif grep -qE 'status: (NOERROR|NXDOMAIN)' <<<"$ds"; then
    ok "no DS record in the parent"
  else
    bad "querying the parent's DS record failed: $(failure <<<"$ds")"
  fi
fi
if [ -n "$PLAN" ]; then
  for server in "${SERVERS[@]}"; do
    say "would query $server for SOA, NS, _plan.$ZONE and serving.$ZONE"
  done
  exit 0
fi

known='' served=''
if [ -n "$AGENT" ]; then
  need curl jq
  status=$(get "${AGENT%/}/v1/status") || fail "the agent at $AGENT does not answer"
  known=$(jq -r '.regions[].addresses[]' <<<"$status" | sort -u)
  served=$(jq -r '.regions[] | select(.share > 0) | .addresses[]' <<<"$status" | sort -u)
  wanted=$(jq -r '"seq=\(.plan.seq) ballot=\(.plan.ballot.number)"' <<<"$status")
  # Without these there is nothing to compare answers with.
  [ -n "$known" ] || bad "the agent at $AGENT reports no addresses"
  [ -n "$served" ] || bad "the agent at $AGENT reports no region with a traffic share"
fi

plans=() minimum=()
for server in "${SERVERS[@]}"; do
  host=${server%:*} port=${server##*:}
  [ "$host" != "$server" ] || port=53
  question() { dig "@$host" -p "$port" "${ask_for[@]}" "$@" 2>&1 || true; }
  say "$server"
  soa=$(question +noall +comments +answer SOA "$ZONE")
  if ! grep -q 'status: NOERROR' <<<"$soa"; then
    bad "SOA of $ZONE: $(failure <<<"$soa")"
    continue
  fi
  grep -q 'flags:.* aa' <<<"$soa" && ok "authoritative for $ZONE" || bad "not authoritative"
  names=$(question +noall +answer NS "$ZONE" | awk '$4 == "NS" { print $5 }')
  [ -n "$names" ] && ok "answers NS records" || bad "answers no NS records"
  plan=$(question +short TXT "_plan.$ZONE" | tr -d '"')
  seq=$(grep -oE '\bseq=[0-9]+' <<<"$plan" || echo 'seq=none')
  ballot=$(grep -oE '\bballot=[0-9]+' <<<"$plan" || true)
  plans+=("$seq $ballot")
  case $seq in
    seq=none) bad "_plan.$ZONE has no plan" ;;
    seq=0) bad "answers from the configuration: no plan is committed, or none has arrived" ;;
    *) ok "plan $seq $ballot" ;;
  esac
  [ -z "$served" ] || [ "$seq $ballot" = "$wanted" ] || bad "the agent has plan $wanted"
  for transport in +notcp +tcp; do
    answer=$(question "$transport" +noall +answer A "serving.$ZONE")
    addresses=$(awk '$4 == "A" { print $5 }' <<<"$answer")
    if [ -z "$addresses" ]; then
      bad "serving.$ZONE has no answer ($transport)"
      continue
    fi
    unexpected=''
    for address in $addresses; do
      [ -z "$known" ] || grep -qxF "$address" <<<"$served" || unexpected=$address
    done
    if [ -z "$unexpected" ]; then
      ok "serving.$ZONE: $(tr '\n' ' ' <<<"$addresses")(${transport#+})"
    elif grep -qxF "$unexpected" <<<"$known"; then
      bad "serving.$ZONE answers $unexpected, whose region has no traffic share"
    else
      bad "serving.$ZONE answers $unexpected, which belongs to no region"
    fi
    minimum+=("$(awk '$4 == "A" { print $2; exit }' <<<"$answer")")
  done
done
if [ "$(printf '%s\n' "${plans[@]}" | sort -u | wc -l)" -gt 1 ]; then
  bad "name servers answer from different plans: $(printf '%s; ' "${plans[@]}")"
fi
if [ "$(printf '%s\n' "${minimum[@]}" | sort -u | wc -l)" -gt 1 ]; then
  bad "name servers answer different TTLs: ${minimum[*]}"
fi
conclude
