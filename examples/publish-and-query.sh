#!/usr/bin/env bash
# Publishes a version of a model, makes it the default, and queries it, on a mesh that
# `regionmesh up` runs.
# Usage: examples/publish-and-query.sh [VERSION]     default: 2
# Environment:
#   REGIONMESH           the command (default: regionmesh)
#   REGIONMESH_DATA_DIR  the data directory of `up` (default: .regionmesh)
#   FRONT_DOOR           where `up` serves (default: localhost:8080)
set -euo pipefail

version=${1:-2}
regionmesh=${REGIONMESH:-regionmesh}
front_door=${FRONT_DOOR:-localhost:8080}
model=$(dirname "$0")/iris.onnx

# --wait returns once every region has verified each byte and run an inference.
"$regionmesh" models publish iris "$version" "$model" --by example --wait
# Requests that name no version get the one that `production` names.
"$regionmesh" models promote iris "$version" production --by example

# A virginica: the third probability of the answer is close to 1.
request='{"inputs": [{
  "name": "measurements", "shape": [1, 4], "datatype": "FP32", "data": [6.3, 3.3, 6.0, 2.5]
}]}'
curl -sS --fail-with-body --retry 5 "http://$front_door/v2/models/iris/versions/$version/infer" \
  -d "$request"
echo
