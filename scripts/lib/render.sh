# shellcheck shell=bash
# Renders an environment's manifests: kubernetes/ with the environment's settings, built per region.
# Source after common.sh.

# Values that only the repository's examples use (RFC 5737, RFC 2606, documentation accounts), and
# the placeholder of the image until an environment names one.
PLACEHOLDERS='\b(192\.0\.2|198\.51\.100|203\.0\.113)\.[0-9]+\b|\bexample\.org\b|\b111122223333\b'
PLACEHOLDERS+='|\bexample-project\b|eipalloc-0{8}|subnet-0{8}|00000000-0000-0000-0000'
PLACEHOLDERS+='|image: regionmesh$'

# render FOLDER OUT: writes OUT/REGION.yaml for each region, built from OUT/tree.
render() {
  local folder=$1 out=$2 tree=$2/tree/kubernetes region
  rm -rf "$out"
  mkdir -p "$out/tree"
  cp -R "$ROOT/kubernetes" "$ROOT/monitoring" "$out/tree/"
  # The environment's own files override what Terraform wrote.
  if [ -d "$out.terraform" ]; then cp -R "$out.terraform/." "$tree/"; fi
  override "$folder/mesh.env" "$tree/base"
  override "$folder/peers.yaml" "$tree/base/agent"
  # An environment's own agent.toml is complete, unless a mesh.toml is next to it.
  if [ -f "$folder/agent.toml" ]; then : >"$tree/base/agent/mesh.toml"; fi
  override "$folder/agent.toml" "$tree/base/agent"
  override "$folder/mesh.toml" "$tree/base/agent"
  override "$folder/alertmanager.yml" "$out/tree/monitoring/alertmanager"
  for region in $(regions_of "$folder"); do
    fill_overlay "$folder" "$tree" "$region"
    add_build "$folder" "$tree" "$region"
    kubectl kustomize "$tree/build/$region" >"$out/$region.yaml"
  done
}

# override FILE FOLDER: copies a file that the environment may leave out.
override() { if [ -f "$1" ]; then cp "$1" "$2/"; fi; }

# The first line of a file that may be missing.
first_line() { if [ -f "$1" ]; then head -n 1 "$1"; fi; }

# Puts a region's settings into its overlay. A region without an overlay in the repository starts
# from the one that its file `like` names.
fill_overlay() {
  local folder=$1/$3 overlay=$2/overlays/$3 like
  mkdir -p "$overlay"
  if [ -d "$folder" ]; then cp -R "$folder/." "$overlay/"; fi
  [ ! -f "$overlay/kustomization.yaml" ] || return 0
  like=$(first_line "$overlay/like")
  if ! is_name "$like" || [ ! -f "$ROOT/kubernetes/overlays/$like/kustomization.yaml" ]; then
    fail "no overlay kubernetes/overlays/$3: add one, or name one of the same cloud in $folder/like"
  fi
  cp -n "$ROOT/kubernetes/overlays/$like/"* "$overlay/"
}

# Writes the kustomization on top of a region's overlay: its components, its image, and the
# Prometheus of every other region, by its name in the parent zone.
add_build() {
  local folder=$1 tree=$2 region=$3 overlay=$2/overlays/$3 build=$2/build/$3 image name names=()
  image=${IMAGE:-$(first_line "$overlay/image")}
  if [ -n "$image" ] && ! [[ $image =~ (@sha256:|:[^:/]+$) ]]; then
    fail "image $image has neither a tag nor a digest"
  fi
  if [ -f "$overlay/components" ]; then mapfile -t names < <(grep . "$overlay/components"); fi
  for name in "${names[@]}"; do
    if ! is_name "$name" || [ ! -d "$tree/components/$name" ]; then
      fail "components of $region: there is no kubernetes/components/$name"
    fi
  done
  mkdir -p "$build"
  # shellcheck disable=SC2016  # jq's variables
  jq -n --arg region "$region" --arg image "$image" '{
    resources: ["../../overlays/\($region)"],
    components: [$ARGS.positional[] | "../../components/\(.)"],
    images: [{ name: "regionmesh" } + ($image
      | capture("^(?<newName>.+?)(@(?<digest>.+)|:(?<newTag>[^:/]+))$") | map_values(values))],
    configMapGenerator: [{
      name: "regionmesh-federation", namespace: "regionmesh",
      behavior: "replace", files: ["federation.yml"]
    }]
  }' --args "${names[@]}" >"$build/kustomization.yaml"
  # shellcheck disable=SC2016  # jq's variables
  regions_of "$folder" |
    jq -Rn --arg region "$region" --arg domain "$(setting_of "$tree/base/mesh.env" DOMAIN)" '[
      inputs | select(. != $region)
      | { targets: ["prometheus-\(.).\($domain):9090"], labels: { sibling: . } }
    ]' >"$build/federation.yml"
  override "$overlay/federation.yml" "$build"
}

# Placeholders left in the manifests of the given regions: `count REGION.yaml:text` a line.
leftovers() {
  local out=$1 region
  shift
  for region in "$@"; do
    (cd "$out" && grep -HoE "$PLACEHOLDERS" "$region.yaml") || true
  done | sort | uniq -c
}
