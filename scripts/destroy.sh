#!/usr/bin/env bash
# Takes a region, or a whole environment, away. Models stay: buckets are terraform's, and terraform keeps those that are not
# empty. Doing it again does nothing more. Exit codes: 0 done, 1 failed, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/infrastructure.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/infrastructure.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/destroy.sh ENV [--region REGION] [--plan] [options]
  --region REGION    that region's part of the mesh alone; its traffic is moved away first, its infrastructure stays
  --plan             show what would be taken away, change nothing
  --yes ENV          don't ask: the environment's name once more
  --skip-terraform   clusters only
  --force            go on where the mesh can't be asked, or the others are not well without the region
A region is drained for 30 days before its agents go: it is out of DNS while it ends. See docs/how-to/deploy-with-terraform.md#add-or-remove-a-region.
USAGE
}

ENV='' REGION='' PLAN='' YES='' SKIP_TERRAFORM='' FORCE=''
while [ $# -gt 0 ]; do
  case $1 in
    --region) REGION=$(value_of "$@"); shift 2 ;;
    --yes) YES=$(value_of "$@"); shift 2 ;;
    --plan) PLAN=1; shift ;;
    --skip-terraform) SKIP_TERRAFORM=1; shift ;;
    --force) FORCE=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) bad_usage "unknown option $1" ;;
    *) [ -z "$ENV" ] || bad_usage "one environment at a time"; ENV=$1; shift ;;
  esac
done
[ -n "$ENV" ] || bad_usage "give ENV"
folder=$(environment_folder "$ENV")
ALL=$(regions_of "$folder")
REGIONS=${REGION:-$ALL}
[ -z "$REGION" ] || grep -qxF "$REGION" <<<"$ALL" || fail "$folder/contexts.env does not name region $REGION"
need kubectl

if [ -z "$PLAN" ]; then
  if [ -z "$YES" ]; then
    [ -t 0 ] || bad_usage "nobody can be asked here: give --yes $ENV"
    read -r -p "Take away ${REGION:-every region} of $ENV? Type its name: " YES
  fi
  [ "$YES" = "$ENV" ] || bad_usage "\"$YES\" is not $ENV: nothing was changed"
fi

is_reachable() { in_region "$folder" "$1" version --request-timeout=10s >/dev/null 2>&1; }

# Asks the mesh to give the region no traffic, through an agent of another region, and waits until its share is 0.
drain() {
  local region=$1 other status tries
  for other in $ALL; do
    [ "$other" != "$region" ] || continue
    if [ -n "$PLAN" ]; then
      say "would drain $region through an agent of $other, and wait until DNS gives it no share"
      return
    fi
    forward "$folder" "$other" regionmesh-api 9080 || continue
    status=$(get "http://$FORWARDED/v1/status") || continue
    if jq -e --arg r "$region" '.regions[] | select(.region == $r and .share == 0)' >/dev/null <<<"$status"; then
      say "$region has no traffic"
      return
    fi
    jq -e --arg r "$region" '[.regions[] | select(.region != $r and .verdict == "healthy")] | length > 0' >/dev/null <<<"$status" ||
      { [ -n "$FORCE" ] || fail "no other region is healthy: $region would be missed (--force goes on)"; }
    # The token goes by a file that only we can read.
    (umask 077 && in_region "$folder" "$other" get secret regionmesh-api-token -o 'jsonpath={.data.token}' | base64 -d >"$token")
    regionmesh failover drain "$region" --for 30d --by "${USER:-destroy.sh}" --why "destroy.sh $ENV" ${FORCE:+--force} \
      --agent "http://$FORWARDED" --token-file "$token"
    for tries in {1..60}; do
      status=$(get "http://$FORWARDED/v1/status") || true
      if jq -e --arg r "$region" '.regions[] | select(.region == $r and .share == 0)' >/dev/null 2>&1 <<<"$status"; then
        # Answers given before the drain are good for their time to live.
        say "$region has no traffic (after $tries s); waiting 15 s for resolvers to forget it"
        sleep 15
        return
      fi
      sleep 1
    done
    [ -n "$FORCE" ] || fail "$region still has a share after 60 s"
    return
  done
  [ -n "$FORCE" ] || fail "no agent of another region can be asked to drain $region (--force goes on without)"
}

# Load balancers first: they are the cloud's, and would be left over where the cluster goes before its controllers are done.
remove() {
  local region=$1
  if ! is_reachable "$region"; then
    [ -n "$PLAN" ] || [ -n "$FORCE" ] || fail "$region: its cluster can't be reached (--force goes on without)"
    say "$region: its cluster can't be reached from here"
    return
  fi
  if ! in_region "$folder" "$region" get namespace "$NAMESPACE" -o name >/dev/null 2>&1; then
    say "$region: nothing is left in its cluster"
    return
  fi
  say "$region: namespace $NAMESPACE with everything in it"
  change in_region "$folder" "$region" delete service --all --wait=true --timeout=300s
  change in_region "$folder" "$region" delete namespace "$NAMESPACE" --wait=true --timeout=300s
  change in_region "$folder" "$region" delete priorityclass regionmesh-agent regionmesh-serving --ignore-not-found
}

if [ -n "$REGION" ]; then
  if [ -z "$PLAN" ]; then need curl jq regionmesh; fi
  token=$(mktemp)
  trap 'rm -f "$token"; end_forwards' EXIT
  drain "$REGION"
fi
for region in $REGIONS; do remove "$region"; done

if [ -n "$REGION" ]; then
  say "$REGION: its infrastructure stays. Take its entry out of terraform.tfvars, mesh.env and contexts.env, and run scripts/deploy.sh $ENV"
elif [ -z "$SKIP_TERRAFORM" ] && [ -f "$folder/terraform.tfvars" ]; then
  infrastructure_ready "$folder" "$ENV"
  if [ -n "$PLAN" ]; then
    infrastructure_run plan -destroy -input=false -var-file="$folder/terraform.tfvars"
  else
    infrastructure_run destroy -auto-approve -input=false -var-file="$folder/terraform.tfvars"
  fi
fi
