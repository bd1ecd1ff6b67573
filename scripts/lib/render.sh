# shellcheck shell=bash
# An environment's manifests: the tree of kubernetes/ with the environment's settings put in, built for each region.
# Sourced after common.sh.

# Values that are written in the repository so that it builds, and are nobody's (RFC 5737, RFC 2606, documentation accounts).
PLACEHOLDERS='\b(192\.0\.2|198\.51\.100|203\.0\.113)\.[0-9]+\b|\bexample\.org\b|\b111122223333\b|\bexample-project\b|eipalloc-0{8}|subnet-0{8}|00000000-0000-0000-0000'

# render FOLDER OUT: writes OUT/REGION.yaml for each region of the environment, and OUT/tree, what it was built from.
render() {
  local folder=$1 out=$2 region file domain image build
  rm -rf "$out"
  mkdir -p "$out/tree"
  cp -R "$ROOT/kubernetes" "$ROOT/monitoring" "$out/tree/"
  # What terraform told comes first, what a person wrote outranks it.
  if [ -d "$out.terraform" ]; then cp -R "$out.terraform/." "$out/tree/kubernetes/"; fi
  if [ -f "$folder/mesh.env" ]; then cp "$folder/mesh.env" "$out/tree/kubernetes/base/mesh.env"; fi
  if [ -f "$folder/peers.yaml" ]; then cp "$folder/peers.yaml" "$out/tree/kubernetes/base/agent/peers.yaml"; fi
  if [ -f "$folder/agent.toml" ]; then cp "$folder/agent.toml" "$out/tree/kubernetes/base/agent/agent.toml"; fi
  if [ -f "$folder/alertmanager.yml" ]; then cp "$folder/alertmanager.yml" "$out/tree/monitoring/alertmanager/alertmanager.yml"; fi
  domain=$(sed -n 's/^DOMAIN=//p' "$out/tree/kubernetes/base/mesh.env")
  for region in $(regions_of "$folder"); do
    overlay_like "$folder" "$out" "$region"
    for file in region.env cloud.env kustomization.yaml federation.yml load-balancers.yaml components; do
      if [ -f "$folder/$region/$file" ]; then cp "$folder/$region/$file" "$out/tree/kubernetes/overlays/$region/$file"; fi
    done
    # Prometheus reads no environment in this file.
    sed -i "s/\bexample\.org\b/$domain/g" "$out/tree/kubernetes/overlays/$region/federation.yml"
    image=${IMAGE:-}
    if [ -z "$image" ] && [ -f "$folder/$region/image" ]; then image=$(head -n 1 "$folder/$region/image"); fi
    if [ -n "$image" ]; then set_image "$out/tree/kubernetes/overlays/$region/kustomization.yaml" "$image"; fi
    build=$(with_components "$out/tree/kubernetes" "$region")
    kubectl kustomize "$build" >"$out/$region.yaml"
  done
}

# A region that has no overlay in the repository gets that of another one of its cloud, which its file `like` names; what is the
# region's own comes from terraform and the environment.
overlay_like() {
  local folder=$1 out=$2 region=$3 overlays=$2/tree/kubernetes/overlays like='' place
  [ ! -f "$overlays/$region/kustomization.yaml" ] || return 0
  for place in "$overlays/$region" "$folder/$region"; do
    if [ -f "$place/like" ]; then like=$(head -n 1 "$place/like"); fi
  done
  if ! is_name "$like" || [ ! -f "$ROOT/kubernetes/overlays/$like/kustomization.yaml" ]; then
    fail "there is no overlay kubernetes/overlays/$region: make one like its neighbours, or name one of its cloud in $folder/$region/like"
  fi
  mkdir -p "$overlays/$region"
  cp -n "$ROOT/kubernetes/overlays/$like/"* "$overlays/$region/"
}

# The folder to build for a region: its overlay, or that with the components round it that its file `components` names, one a line.
with_components() {
  local tree=$1 region=$2 name names=()
  while IFS= read -r name; do
    [ -n "$name" ] || continue
    if ! is_name "$name" || [ ! -d "$tree/components/$name" ]; then
      fail "components of $region: there is no kubernetes/components/$name"
    fi
    names+=("../../components/$name")
  done < <(cat "$tree/overlays/$region/components" 2>/dev/null || true)
  if [ ${#names[@]} -eq 0 ]; then
    printf '%s' "$tree/overlays/$region"
    return
  fi
  mkdir -p "$tree/built/$region"
  {
    printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../overlays/%s]\ncomponents:\n' "$region"
    printf '  - %s\n' "${names[@]}"
  } >"$tree/built/$region/kustomization.yaml"
  printf '%s' "$tree/built/$region"
}

# NAME:TAG or NAME@sha256:DIGEST.
set_image() {
  local entry
  case $2 in
    *@sha256:*) entry="newName: ${2%@*}, digest: \"${2#*@}\"" ;;
    *:*) entry="newName: ${2%:*}, newTag: \"${2##*:}\"" ;;
    *) fail "image $2 has neither a tag nor a digest" ;;
  esac
  sed -i "s|^  - { name: regionmesh, .*|  - { name: regionmesh, $entry }|" "$1"
  grep -qF "$entry" "$1" || fail "$1 has no entry for the image regionmesh"
}

# What is left of the repository's examples in what would be applied; one `file: text` a line.
leftovers() {
  local out=$1 region
  for region in $2; do
    grep -noE "$PLACEHOLDERS" "$out/$region.yaml" | sed "s|^|$region.yaml:|" || true
  done
}

# The objects of FILE whose kind is one of KIND|KIND..., as a stream of documents.
only_kinds() {
  awk -v kinds="^kind: ($2)\$" 'BEGIN { RS = "(^|\n)---\n" } { n = split($0, line, "\n"); for (i = 1; i <= n; i++) if (line[i] ~ kinds) { print "---"; print; next } }' "$1"
}
