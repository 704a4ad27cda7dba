#!/bin/bash
# The program on one node; where several train together, it tells each who they are.
set -euo pipefail

if ((${SLURM_NTASKS:-1} > 1)); then
  port=$((20000 + SLURM_JOB_ID % 10000))
  workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$port\"/" | paste -sd, -)
  task="{\"type\": \"worker\", \"index\": $SLURM_PROCID}"
  export TF_CONFIG="{\"cluster\": {\"worker\": [$workers]}, \"task\": $task}"
fi
exec "${PYTHON:-.venv/bin/python}" run_pipeline.py "$@"
