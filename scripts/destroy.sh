#!/usr/bin/env bash
# Removes a region or a whole environment. Models stay: Terraform does not delete buckets that are
# not empty. A second run changes nothing. Exit codes: 0 done, 1 failed, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/infrastructure.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/infrastructure.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/destroy.sh ENV [--region REGION] [--plan] [options]
  --region REGION    only that region's agents and servers: drain it first, keep its infrastructure
  --plan             change nothing, show what would be removed
  --yes ENV          don't ask for confirmation; repeats the environment's name
  --skip-terraform   clusters only
  --force            continue if the mesh is unreachable or no other region is healthy
A region is drained for 30 days before its agents are removed, so DNS no longer answers it. See
docs/how-to/deploy-with-terraform.md#add-or-remove-a-region.
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
[ -z "$REGION" ] || grep -qxF "$REGION" <<<"$ALL" ||
  fail "$folder/contexts.env does not name region $REGION"
need kubectl

if [ -z "$PLAN" ]; then
  if [ -z "$YES" ]; then
    [ -t 0 ] || bad_usage "no terminal to confirm on: give --yes $ENV"
    read -r -p "Remove ${REGION:-every region} of $ENV? Type the environment's name: " YES
  fi
  [ "$YES" = "$ENV" ] || bad_usage "\"$YES\" is not $ENV: nothing was changed"
fi

is_reachable() { in_region "$folder" "$1" version --request-timeout=10s >/dev/null 2>&1; }

# Whether a status has the region without traffic: has_no_traffic REGION STATUS
has_no_traffic() {
  jq -e --arg r "$1" '.regions[] | select(.region == $r and .share == 0)' >/dev/null 2>&1 <<<"$2"
}

# Drains the region through an agent of another region, and waits until its share is 0.
drain() {
  local region=$1 other status tries
  for other in $ALL; do
    [ "$other" != "$region" ] || continue
    if [ -n "$PLAN" ]; then
      say "would drain $region through an agent of $other, and wait until its share is 0"
      return
    fi
    forward "$folder" "$other" regionmesh-api 9080 || continue
    status=$(get "http://$FORWARDED/v1/status") || continue
    if has_no_traffic "$region" "$status"; then
      say "$region has no traffic"
      return
    fi
    jq -e --arg r "$region" \
      '[.regions[] | select(.region != $r and .verdict == "healthy")] | length > 0' \
      >/dev/null <<<"$status" || [ -n "$FORCE" ] ||
      fail "no other region is healthy, so $region is still needed (--force drains it anyway)"
    # The token goes into a file that only this user can read.
    (umask 077 && in_region "$folder" "$other" get secret regionmesh-api-token \
      -o 'jsonpath={.data.token}' | base64 -d >"$token")
    regionmesh failover drain "$region" --for 30d --by "${USER:-destroy.sh}" \
      --why "destroy.sh $ENV" ${FORCE:+--force} --agent "http://$FORWARDED" --token-file "$token"
    for tries in {1..60}; do
      status=$(get "http://$FORWARDED/v1/status") || true
      if has_no_traffic "$region" "$status"; then
        # Resolvers cache earlier answers for their TTL.
        say "$region has no traffic (after $tries s); waiting 15 s for cached answers to expire"
        sleep 15
        return
      fi
      sleep 1
    done
    [ -n "$FORCE" ] || fail "$region still has a share after 60 s"
    return
  done
  [ -n "$FORCE" ] ||
    fail "no agent of another region is reachable to drain $region (--force skips the drain)"
}

# Load balancers first: they belong to the cloud, and would be orphaned if the cluster went before
# its controllers had deleted them.
remove() {
  local region=$1
  if ! is_reachable "$region"; then
    [ -n "$PLAN" ] || [ -n "$FORCE" ] ||
      fail "$region: its cluster is unreachable (--force skips it)"
    say "$region: its cluster is unreachable"
    return
  fi
  if ! in_region "$folder" "$region" get namespace "$NAMESPACE" -o name >/dev/null 2>&1; then
    say "$region: its cluster has nothing to remove"
    return
  fi
  say "$region: removing namespace $NAMESPACE and its content"
  change in_region "$folder" "$region" delete service --all --wait=true --timeout=300s
  change in_region "$folder" "$region" delete namespace "$NAMESPACE" --wait=true --timeout=300s
  change in_region "$folder" "$region" delete priorityclass regionmesh-agent regionmesh-serving \
    --ignore-not-found
}

if [ -n "$REGION" ]; then
  if [ -z "$PLAN" ]; then need curl jq regionmesh; fi
  token=$(mktemp)
  trap 'rm -f "$token"; end_forwards' EXIT
  drain "$REGION"
fi
for region in $REGIONS; do remove "$region"; done

if [ -n "$REGION" ]; then
  say "$REGION: its infrastructure stays. To remove it, delete the region from terraform.tfvars," \
    "mesh.env and contexts.env, and run scripts/deploy.sh $ENV"
elif [ -z "$SKIP_TERRAFORM" ] && [ -f "$folder/terraform.tfvars" ]; then
  infrastructure_ready "$folder" "$ENV"
  if [ -n "$PLAN" ]; then
    infrastructure_run plan -destroy -input=false -var-file="$folder/terraform.tfvars"
  else
    infrastructure_run destroy -auto-approve -input=false -var-file="$folder/terraform.tfvars"
  fi
fi
