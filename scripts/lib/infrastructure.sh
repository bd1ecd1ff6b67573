# shellcheck shell=bash
# An environment's terraform: run in a copy, in which the environment's own files override (backend.tf says where its state is).
# Sourced after common.sh.

TERRAFORM=${TERRAFORM:-terraform}

# infrastructure_ready FOLDER ENV: makes the copy, and terraform's plugins and modules in it. After it `infrastructure_run` works.
infrastructure_ready() {
  local folder=$1 file backend=()
  need "$TERRAFORM"
  INFRASTRUCTURE=$ROOT/.deploy/$2.infrastructure
  mkdir -p "$INFRASTRUCTURE/kubernetes/base/agent"
  # Anew each time, but for what init has fetched.
  rm -rf "$INFRASTRUCTURE/terraform"
  cp -R "$ROOT/terraform" "$INFRASTRUCTURE/"
  # terraform tells the agents' configuration, and makes it of this one.
  cp "$ROOT/kubernetes/base/agent/agent.toml" "$INFRASTRUCTURE/kubernetes/base/agent/"
  for file in "$folder"/*.tf; do
    [ -f "$file" ] || continue
    cp "$file" "$INFRASTRUCTURE/terraform/$(basename "$file" .tf)_override.tf"
  done
  if [ ! -f "$folder/backend.tf" ]; then
    warn "$folder/backend.tf is missing: the state is the file $folder/terraform.tfstate. Keep it, or move it (docs/how-to/deploy-with-terraform.md)"
    backend=(-backend-config="path=$folder/terraform.tfstate")
  fi
  # Named as terraform names it: whoever looks for providers on this machine passes such folders by.
  export TF_DATA_DIR=$INFRASTRUCTURE/.terraform
  infrastructure_run init -input=false -reconfigure "${backend[@]}" >"$INFRASTRUCTURE/init.log" 2>&1 || fail "terraform init: $(tail -n 20 "$INFRASTRUCTURE/init.log")"
}

infrastructure_run() { "$TERRAFORM" -chdir="$INFRASTRUCTURE/terraform" "$@"; }
