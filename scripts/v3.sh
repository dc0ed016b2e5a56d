#!/usr/bin/env bash
#SBATCH --job-name=relic-v3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=32
#SBATCH --gres=gpu:4
#SBATCH --mem=300G
#SBATCH --time=4-00:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Runs one config under Slurm: sbatch scripts/v3.sh [CONFIG [OPTION...]]     (or without Slurm: bash scripts/v3.sh ...)
# Submit from a clone, or from a folder where relic-train is installed. CONFIG defaults to configs/v3.yaml; options go to
# relic-train. The run is one process, whatever the number of GPUs.
# Two minutes before the time limit, and when the job is preempted, the run saves itself and the job is queued again; it
# then goes on in the same directories. Stages without a run id are called job_ID. A job that failed for another reason
# is continued by a new one: sbatch scripts/v3.sh CONFIG --resume models/v3/pretrain/job_ID
set -euo pipefail

config="${1:-configs/v3.yaml}"
options=("${@:2}")
# Slurm runs a copy of this script, so its own folder says nothing; the folder of submission does.
cd "${SLURM_SUBMIT_DIR:-$PWD}"

if [[ -x node_modules/.bin/relic-train ]]; then
  program=node_modules/.bin/relic-train
elif [[ -f dist/cli.js ]]; then
  program=dist/cli.js
else
  echo "v3.sh: no relic-train in $PWD: run 'npm ci' in a clone, or 'npm install relic-train'" >&2
  exit 2
fi

gpus=0
if command -v nvidia-smi > /dev/null; then
  gpus="$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ' || true)"
fi
echo "v3.sh: config $config, $gpus GPU(s), ${SLURM_CPUS_PER_TASK:-$(nproc)} CPU(s), node $(node --version)" >&2

if [[ -z "${SLURM_JOB_ID:-}" ]]; then
  # Replaces this shell, so that signals reach the program itself.
  exec node "$program" --config "$config" ${options[@]+"${options[@]}"}
fi

# A step of its own: Slurm sends the signal ahead of the time limit to steps, and not to this shell.
status=0
srun --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
  node "$program" --config "$config" --run-id "job_$SLURM_JOB_ID" --resume auto ${options[@]+"${options[@]}"} ||
  status=$?
if [[ $status -eq 85 ]]; then
  echo "v3.sh: the run was saved; job $SLURM_JOB_ID is queued again" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
