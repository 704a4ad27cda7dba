#!/bin/bash
# Submits the stages of a pipeline to Slurm, each to start when the one before is done.
#
#   examples/slurm/submit.sh -c configs/mnist.yaml --artifacts /shared/artifacts train.epochs=20
#
# The arguments are those of `run_pipeline.py run`; the folder must be one that all nodes see.
# STAGES names the stages: leave out `tune` for a config that does not search. NODES is on how many
# nodes to train, SBATCH_PARTITION and SBATCH_ACCOUNT are Slurm's own.
set -euo pipefail
cd "$(dirname "$0")/../.."

read -ra stages <<<"${STAGES:-ingest tune build train evaluate export verify}"
nodes=${NODES:-1}
after=()
for stage in "${stages[@]}"; do
  options=(--parsable --job-name="evenkeel-$stage" --kill-on-invalid-dep=yes "${after[@]}")
  arguments=(--stage "$stage" "$@")
  if [[ $stage == train ]] && ((nodes > 1)); then
    options+=(--nodes="$nodes")
    arguments+=(train.strategy=multi_worker)
  fi
  job=$(sbatch "${options[@]}" examples/slurm/stage.sbatch "${arguments[@]}")
  echo "$stage: job ${job%%;*}"
  after=(--dependency="afterok:${job%%;*}")
done
