#!/bin/bash
# Starts the jobs of jobs.yaml one after another; ends with 1 at the first that fails.
#
#   examples/kubernetes/run.sh                         every stage
#   examples/kubernetes/run.sh evaluate export verify  these
set -euo pipefail

(($#)) || set -- ingest tune build train evaluate export verify
for stage; do
  job=job/evenkeel-$stage
  kubectl patch "$job" --type=merge --patch '{"spec": {"suspend": false}}'
  while true; do
    state=$(kubectl get "$job" -o jsonpath='{.status.conditions[?(@.status=="True")].type}')
    case $state in
      *Complete*) break ;;
      *Failed*)
        kubectl logs "$job" --tail=20
        echo "$stage failed" >&2
        exit 1
        ;;
    esac
    sleep "${INTERVAL_SECONDS:-10}"
  done
done
