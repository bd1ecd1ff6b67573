#!/usr/bin/env bash
# Brings an environment up, or up to date: infrastructure by terraform, then each region's cluster. Doing it again changes
# nothing that is as it should be. Exit codes: 0 done, 1 failed, 2 bad usage.
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
  --region REGION    that region's cluster alone
  --plan             show what would change, change nothing: terraform plan, kubectl diff. Clusters that can't be reached are
                     named, and their manifests are only built
  --image REF        this image in every region (NAME:TAG or NAME@sha256:...), instead of environments/ENV/REGION/image
  --skip-terraform   clusters only
  --timeout SECONDS  for one region's rollout (default 900)
environments/ENV/ says what ENV is: copy environments/example. What is built lies in .deploy/ENV/.

Order: infrastructure; then every region's authority, and all of them into every region's trust; then agents and servers. Where
agents run already, one region after the other, each well before the next. Where none runs, all regions at once: a region that
joins later is held for failed until its gate and ramp are over.
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
[ -f "$folder/contexts.env" ] || fail "$folder/contexts.env is missing: REGION=KUBECTL-CONTEXT, one a line"
ALL=$(regions_of "$folder")
[ -n "$ALL" ] || fail "$folder/contexts.env names no region"
REGIONS=${REGION:-$ALL}
grep -qxF "${REGION:-$(head -n 1 <<<"$ALL")}" <<<"$ALL" || fail "$folder/contexts.env does not name region $REGION"
need kubectl
OUT=$ROOT/.deploy/$ENV

# Infrastructure, and what it tells of itself: the output kubernetes_settings, a map of files below kubernetes/ to their content.
infrastructure() {
  if [ -n "$SKIP_TERRAFORM" ]; then return; fi
  if [ ! -f "$folder/terraform.tfvars" ]; then
    say "infrastructure: left alone ($folder/terraform.tfvars is missing)"
    return
  fi
  need jq
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
    # Before the first apply there is none.
    [ -n "$PLAN" ] || fail "terraform output kubernetes_settings: $(tail -n 5 "$OUT.output.log")"
    settings='{}'
  fi
  jq -r 'keys[]' <<<"$settings" | while IFS= read -r file; do
    [[ "$file" =~ ^(base|overlays|components)/[a-z0-9/._-]+$ && "$file" != *..* ]] || fail "terraform names a file outside kubernetes/: $file"
    mkdir -p "$(dirname "$OUT.terraform/$file")"
    jq -r --arg file "$file" '.[$file]' <<<"$settings" >"$OUT.terraform/$file"
  done
}

is_reachable() { in_region "$folder" "$1" version --request-timeout=10s >/dev/null 2>&1; }

apply() { in_region "$folder" "$1" apply --server-side --field-manager=regionmesh-deploy -f - >/dev/null; }

# What a cluster must have before anything is applied.
preflight() {
  local region=$1 nodes
  in_region "$folder" "$region" get crd certificates.cert-manager.io issuers.cert-manager.io -o name >/dev/null || fail "$region: cert-manager is not installed"
  in_region "$folder" "$region" get csidriver csi.cert-manager.io -o name >/dev/null || fail "$region: cert-manager's csi-driver is not installed"
  nodes=$(in_region "$folder" "$region" get nodes -l regionmesh.io/agent=true -o name | wc -l)
  [ "$nodes" -gt 0 ] || fail "$region: no node is labelled regionmesh.io/agent=true, so no agent would run"
  [ "$nodes" -eq 3 ] || warn "$region: $nodes nodes are labelled for agents; the PodDisruptionBudget's minAvailable is made for 3"
}

# Makes a secret of random bytes unless it is there. By standard input: arguments are everybody's to read.
random_secret() {
  local region=$1 name=$2 key=$3
  if in_region "$folder" "$region" get secret "$name" -o name >/dev/null 2>&1; then return; fi
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' | in_region "$folder" "$region" create secret generic "$name" --from-file="$key"=/dev/stdin >/dev/null
  say "  made secret $name"
}

# The operators' token, the same in every region: by it agents prove to each other that an operator stands behind an order, or
# behind what a region holds. The first region's is random, the others get a copy, through a pipe and never as an argument.
api_token() {
  local region=$1 other
  if in_region "$folder" "$region" get secret regionmesh-api-token -o name >/dev/null 2>&1; then return; fi
  for other in $ALL; do
    if [ "$other" = "$region" ] || ! is_reachable "$other"; then continue; fi
    in_region "$folder" "$other" get secret regionmesh-api-token -o name >/dev/null 2>&1 || continue
    in_region "$folder" "$other" get secret regionmesh-api-token -o 'jsonpath={.data.token}' | base64 -d |
      in_region "$folder" "$region" create secret generic regionmesh-api-token --from-file=token=/dev/stdin >/dev/null
    say "  copied secret regionmesh-api-token from $other"
    return
  done
  random_secret "$region" regionmesh-api-token token
}

# A region's authority: namespace, issuers, certificates; waits until cert-manager has made it.
authority() {
  local region=$1
  say "$region: authority"
  only_kinds "$OUT/$region.yaml" 'Namespace' | apply "$region"
  only_kinds "$OUT/$region.yaml" 'Issuer|Certificate' | apply "$region"
  in_region "$folder" "$region" wait --for=condition=Ready certificate/regionmesh-authority --timeout=120s >/dev/null
}

# Every region's authority into every reachable region's trust. What is trusted already stays: the authority of a region
# that is away now, and the old one while one is replaced.
trust() {
  local region bundle=$OUT/trust.pem
  : >"$bundle.all"
  for region in $ALL; do
    if ! is_reachable "$region"; then
      warn "$region can't be reached: its trust stays as it is"
      continue
    fi
    {
      in_region "$folder" "$region" get secret regionmesh-authority -o 'jsonpath={.data.tls\.crt}' --ignore-not-found | base64 -d
      in_region "$folder" "$region" get configmap regionmesh-trust -o 'jsonpath={.data.ca\.pem}' --ignore-not-found
      printf '\n'
    } >>"$bundle.all"
  done
  # Each certificate once.
  awk '/-----BEGIN CERTIFICATE-----/ { inside = 1; block = "" } inside { block = block $0 "\n" } /-----END CERTIFICATE-----/ { inside = 0; if (!seen[block]++) printf "%s", block }' "$bundle.all" >"$bundle"
  rm -f "$bundle.all"
  [ -s "$bundle" ] || fail "no region has an authority yet"
  for region in $ALL; do
    is_reachable "$region" || continue
    in_region "$folder" "$region" create configmap regionmesh-trust --from-file=ca.pem="$bundle" --dry-run=client -o yaml | apply "$region"
  done
  say "trust: $(grep -c 'BEGIN CERTIFICATE' "$bundle") authorities"
}

workloads() {
  local region=$1
  say "$region: agents and servers"
  api_token "$region"
  random_secret "$region" regionmesh-grafana-admin password
  in_region "$folder" "$region" get secret regionmesh-alertmanager -o name >/dev/null 2>&1 ||
    warn "$region: secret regionmesh-alertmanager is missing, so no alert reaches anybody: see docs/how-to/deploy-to-kubernetes.md#create-the-notification-secrets"
  apply "$region" <"$OUT/$region.yaml"
}

settled() {
  local region=$1
  in_region "$folder" "$region" rollout status daemonset/regionmesh-agent --timeout="${TIMEOUT}s"
  in_region "$folder" "$region" rollout status deployment/regionmesh-serving --timeout="${TIMEOUT}s"
}

mkdir -p "$ROOT/.deploy"
infrastructure
say "manifests: .deploy/$ENV/REGION.yaml"
render "$folder" "$OUT"
left=$(leftovers "$OUT" "$REGIONS")
if [ -n "$left" ]; then
  warn "examples of the repository are still in the manifests:"
  cut -d: -f1,3 <<<"$left" | sort | uniq -c >&2
  [ -n "$PLAN" ] || fail "put yours into $folder first"
fi

if [ -n "$PLAN" ]; then
  for region in $REGIONS; do
    if is_reachable "$region"; then
      say "$region: kubectl diff"
      code=0
      in_region "$folder" "$region" diff --server-side --field-manager=regionmesh-deploy -f "$OUT/$region.yaml" || code=$?
      [ "$code" -le 1 ] || fail "$region: kubectl diff ended with $code"
    else
      say "$region: its cluster can't be reached from here; $(grep -c '^kind: ' "$OUT/$region.yaml") objects would be applied"
    fi
  done
  exit 0
fi

running=''
for region in $REGIONS; do
  is_reachable "$region" || fail "$region: its cluster can't be reached (context $(context_of "$folder" "$region"))"
  preflight "$region"
  if [ "$(in_region "$folder" "$region" get daemonset regionmesh-agent -o 'jsonpath={.status.numberReady}' --ignore-not-found)" ]; then running=$region; fi
done
for region in $REGIONS; do authority "$region"; done
trust
if [ -z "$running" ]; then
  for region in $REGIONS; do workloads "$region"; done
  for region in $REGIONS; do settled "$region"; done
else
  for region in $REGIONS; do
    workloads "$region"
    settled "$region"
    "$ROOT/scripts/health_check.sh" "$ENV" --region "$region" --wait 300
  done
fi
"$ROOT/scripts/health_check.sh" "$ENV" --wait 300
