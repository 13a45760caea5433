#!/bin/sh
# The service "traffic": ten minutes as in the reference, ten with a drifted sensor, and again.
# 20 rows a second are 1200 a window of one minute, the size that the reference was built with.
set -eu
references=${1:-/references}
while true; do
  driftstream emit "$references/traffic.csv" --config "$DRIFTSTREAM_CONFIG" --model shuttle --model-version 1 \
    --label anomaly --label-delay 200 --rate 20 --start "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
done
