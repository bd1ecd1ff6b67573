#!/usr/bin/env bash
# Creates or updates an environment: its infrastructure with Terraform, then each region's cluster.
# A second run changes nothing. Exit codes: 0 done, 1 failed, 2 bad usage.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/render.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/render.sh"
# shellcheck source=scripts/lib/infrastructure.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/infrastructure.sh"

usage() {
  cat <<'USAGE'
Usage: scripts/deploy.sh ENV [--region REGION] [--plan] [options]
  --region REGION    only that region's cluster
  --plan             change nothing, show what would change: terraform plan, kubectl diff. For an
                     unreachable cluster, only build the manifests
  --image REF        this image in every region (NAME:TAG or NAME@sha256:...), instead of the one
                     in environments/ENV/REGION/image
  --skip-terraform   clusters only
  --timeout SECONDS  for one region's rollout (default 900)
environments/ENV/ holds the settings of ENV: copy environments/example. Output goes to .deploy/ENV/.

Order: infrastructure; the authority of every region, then all of them into every region's trust;
agents and servers. If agents already run, regions follow one another, each healthy before the next.
If none runs, all regions start together: one that joined later would count as failed until its
cool-down and ramp-up are over.
USAGE
}

ENV='' REGION='' PLAN='' IMAGE='' SKIP_TERRAFORM='' TIMEOUT=900
while [ $# -gt 0 ]; do
  case $1 in
    --region) REGION=$(value_of "$@"); shift 2 ;;
    --image) IMAGE=$(value_of "$@"); shift 2 ;;
    --timeout) TIMEOUT=$(value_of "$@"); shift 2 ;;
    --plan) PLAN=1; shift ;;
    --skip-terraform) SKIP_TERRAFORM=1; shift ;;
    -h | --help) usage; exit 0 ;;
    -*) bad_usage "unknown option $1" ;;
    *) [ -z "$ENV" ] || bad_usage "one environment at a time"; ENV=$1; shift ;;
  esac
done
[ -n "$ENV" ] || bad_usage "give ENV"
[[ "$TIMEOUT" =~ ^[0-9]+$ ]] || bad_usage "--timeout takes whole seconds"
folder=$(environment_folder "$ENV")
[ -f "$folder/contexts.env" ] ||
  fail "$folder/contexts.env is missing: REGION=KUBECTL-CONTEXT, one a line"
ALL=$(regions_of "$folder")
[ -n "$ALL" ] || fail "$folder/contexts.env names no region"
REGIONS=${REGION:-$ALL}
[ -z "$REGION" ] || grep -qxF "$REGION" <<<"$ALL" ||
  fail "$folder/contexts.env does not name region $REGION"
need kubectl jq
OUT=$ROOT/.deploy/$ENV

# Applies Terraform, and saves its output kubernetes_settings, which maps files below kubernetes/ to
# their content.
infrastructure() {
  if [ -n "$SKIP_TERRAFORM" ]; then return; fi
  if [ ! -f "$folder/terraform.tfvars" ]; then
    say "infrastructure: skipped ($folder/terraform.tfvars is missing)"
    return
  fi
  infrastructure_ready "$folder" "$ENV"
  local arguments=(-input=false -var-file="$folder/terraform.tfvars") file
  if [ -n "$PLAN" ]; then
    say "infrastructure: terraform plan"
    infrastructure_run plan "${arguments[@]}"
  else
    say "infrastructure: terraform apply"
    infrastructure_run apply -auto-approve "${arguments[@]}"
  fi
  rm -rf "$OUT.terraform"
  local settings
  if ! settings=$(infrastructure_run output -json kubernetes_settings 2>"$OUT.output.log"); then
    # There is no output before the first apply.
    [ -n "$PLAN" ] || fail "terraform output kubernetes_settings: $(tail -n 5 "$OUT.output.log")"
    settings='{}'
  fi
  jq -r 'keys[]' <<<"$settings" | while IFS= read -r file; do
    [[ "$file" =~ ^(base|overlays|components)/[a-z0-9/._-]+$ && "$file" != *..* ]] ||
      fail "terraform names a file outside kubernetes/: $file"
    mkdir -p "$(dirname "$OUT.terraform/$file")"
    jq -r --arg file "$file" '.[$file]' <<<"$settings" >"$OUT.terraform/$file"
  done
}

# kubectl in a region's cluster: cluster REGION ARGUMENTS...
cluster() { in_region "$folder" "$@"; }

is_reachable() { cluster "$1" version --request-timeout=10s >/dev/null 2>&1; }

# apply REGION ARGUMENTS...
apply() {
  local region=$1
  shift
  cluster "$region" apply --server-side --field-manager=regionmesh-deploy "$@" >/dev/null
}

# Whether a region has a secret: has_secret REGION NAME
has_secret() { cluster "$1" get secret "$2" -o name >/dev/null 2>&1; }

# What a cluster must have before anything is applied.
preflight() {
  local region=$1 nodes
  cluster "$region" get crd {certificates,issuers}.cert-manager.io -o name >/dev/null ||
    fail "$region: cert-manager is not installed"
  cluster "$region" get csidriver csi.cert-manager.io -o name >/dev/null ||
    fail "$region: cert-manager's csi-driver is not installed"
  nodes=$(cluster "$region" get nodes -l regionmesh.io/agent=true -o name | wc -l)
  [ "$nodes" -gt 0 ] ||
    fail "$region: no node is labelled regionmesh.io/agent=true, so no agent would run"
  [ "$nodes" -eq 3 ] ||
    warn "$region: $nodes nodes are labelled for agents; the PodDisruptionBudget assumes 3"
}

# Creates a secret on standard input, since every process may read arguments:
# create_secret REGION NAME KEY
create_secret() { cluster "$1" create secret generic "$2" --from-file="$3"=/dev/stdin >/dev/null; }

# Creates a secret of random bytes unless it exists.
random_secret() {
  local region=$1 name=$2 key=$3
  if has_secret "$region" "$name"; then return; fi
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' | create_secret "$region" "$name" "$key"
  say "  created secret $name"
}

# The operators' token, the same in every region: agents prove with it that an operator approved an
# order, or what a region holds. The first region's token is random; the others get a copy.
api_token() {
  local region=$1 other
  if has_secret "$region" regionmesh-api-token; then return; fi
  for other in $ALL; do
    if [ "$other" = "$region" ] || ! is_reachable "$other"; then continue; fi
    has_secret "$other" regionmesh-api-token || continue
    cluster "$other" get secret regionmesh-api-token -o 'jsonpath={.data.token}' | base64 -d |
      create_secret "$region" regionmesh-api-token token
    say "  copied secret regionmesh-api-token from $other"
    return
  done
  random_secret "$region" regionmesh-api-token token
}

# A region's authority: namespace, issuers, certificates. Waits until cert-manager has issued it.
authority() {
  local region=$1
  say "$region: authority"
  apply "$region" --selector regionmesh.io/stage=authority -f "$OUT/$region.yaml"
  cluster "$region" wait --for=condition=Ready certificate/regionmesh-authority --timeout=120s \
    >/dev/null
}

# Puts every region's authority into every reachable region's trust. Authorities already trusted
# stay: that of an unreachable region, and the old one while a new one takes over.
trust() {
  local region bundle=$OUT/trust.pem
  for region in $ALL; do
    if ! is_reachable "$region"; then
      warn "$region is unreachable: its trust is unchanged"
      continue
    fi
    cluster "$region" get secret regionmesh-authority -o 'jsonpath={.data.tls\.crt}' \
      --ignore-not-found | base64 -d
    cluster "$region" get configmap regionmesh-trust -o 'jsonpath={.data.ca\.pem}' \
      --ignore-not-found
  done |
    # Each certificate once.
    jq -rRs '[match("-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----"; "g").string]
      | unique[]' >"$bundle"
  [ -s "$bundle" ] || fail "no region has an authority yet"
  for region in $ALL; do
    is_reachable "$region" || continue
    cluster "$region" create configmap regionmesh-trust --from-file=ca.pem="$bundle" \
      --dry-run=client -o yaml | apply "$region" -f -
  done
  say "trust: $(grep -c 'BEGIN CERTIFICATE' "$bundle") authorities"
}

workloads() {
  local region=$1
  say "$region: agents and servers"
  api_token "$region"
  random_secret "$region" regionmesh-grafana-admin password
  has_secret "$region" regionmesh-alertmanager ||
    warn "$region: secret regionmesh-alertmanager is missing, so alerts reach no receiver:" \
      "see docs/how-to/deploy-to-kubernetes.md#create-the-notification-secrets"
  apply "$region" -f "$OUT/$region.yaml"
}

rollout() {
  local workload
  for workload in daemonset/regionmesh-agent deployment/regionmesh-serving; do
    cluster "$1" rollout status "$workload" --timeout="${TIMEOUT}s"
  done
}

mkdir -p "$ROOT/.deploy"
infrastructure
say "manifests: .deploy/$ENV/REGION.yaml"
render "$folder" "$OUT"
# shellcheck disable=SC2086  # one word per region
left=$(leftovers "$OUT" $REGIONS)
if [ -n "$left" ]; then
  warn $'the manifests still contain example values of the repository:\n'"$left"
  [ -n "$PLAN" ] || fail "put your own values into $folder first"
fi

if [ -n "$PLAN" ]; then
  for region in $REGIONS; do
    if is_reachable "$region"; then
      say "$region: kubectl diff"
      code=0
      cluster "$region" diff --server-side --field-manager=regionmesh-deploy \
        -f "$OUT/$region.yaml" || code=$?
      [ "$code" -le 1 ] || fail "$region: kubectl diff ended with $code"
    else
      say "$region: its cluster is unreachable; the manifests are in .deploy/$ENV/$region.yaml"
    fi
  done
  exit 0
fi

running=''
for region in $REGIONS; do
  is_reachable "$region" ||
    fail "$region: its cluster is unreachable (context $(context_of "$folder" "$region"))"
  preflight "$region"
  running+=$(cluster "$region" get daemonset regionmesh-agent \
    -o 'jsonpath={.status.numberReady}' --ignore-not-found)
done
for region in $REGIONS; do authority "$region"; done
trust
if [ -z "$running" ]; then
  for region in $REGIONS; do workloads "$region"; done
  for region in $REGIONS; do rollout "$region"; done
else
  for region in $REGIONS; do
    workloads "$region"
    rollout "$region"
    "$ROOT/scripts/health_check.sh" "$ENV" --region "$region" --wait 300
  done
fi
"$ROOT/scripts/health_check.sh" "$ENV" --wait 300
