# shellcheck shell=bash
# An environment's Terraform runs in a copy, where the environment's own .tf files override.
# Source after common.sh.

TERRAFORM=${TERRAFORM:-terraform}

# infrastructure_ready FOLDER ENV: creates the copy and runs init, for `infrastructure_run`.
infrastructure_ready() {
  local folder=$1 file log backend=()
  need "$TERRAFORM"
  INFRASTRUCTURE=$ROOT/.deploy/$2.infrastructure
  mkdir -p "$INFRASTRUCTURE"
  # A fresh copy each time; keep what init downloaded.
  rm -rf "$INFRASTRUCTURE/terraform"
  cp -R "$ROOT/terraform" "$INFRASTRUCTURE/"
  for file in "$folder"/*.tf; do
    [ -f "$file" ] || continue
    cp "$file" "$INFRASTRUCTURE/terraform/$(basename "$file" .tf)_override.tf"
  done
  if [ ! -f "$folder/backend.tf" ]; then
    warn "$folder/backend.tf is missing: the state is the file $folder/terraform.tfstate." \
      "Keep it, or move it (docs/how-to/deploy-with-terraform.md#choose-where-the-state-lives)"
    backend=(-backend-config="path=$folder/terraform.tfstate")
  fi
  # Terraform's usual name: tools that search this machine for providers skip such folders.
  export TF_DATA_DIR=$INFRASTRUCTURE/.terraform
  log=$INFRASTRUCTURE/init.log
  infrastructure_run init -input=false -reconfigure "${backend[@]}" >"$log" 2>&1 ||
    fail "terraform init: $(tail -n 20 "$log")"
}

infrastructure_run() { "$TERRAFORM" -chdir="$INFRASTRUCTURE/terraform" "$@"; }
