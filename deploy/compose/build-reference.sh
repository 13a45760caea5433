#!/bin/sh
# The one-shot service "reference": rows, and the reference built from them.
set -eu
here=$(dirname "$0")
references=${1:-/references}
python "$here/shuttle_rows.py" "$references"
driftstream reference build --input "$references/reference.csv" --model shuttle --model-version 1 \
  --label anomaly --window-rows 1200 --output "$references/shuttle-v1.json"
