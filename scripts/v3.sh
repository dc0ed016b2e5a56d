#!/usr/bin/env bash
#SBATCH --job-name=relic-v3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=32
#SBATCH --gres=gpu:4
#SBATCH --mem=300G
#SBATCH --time=4-00:00:00
# Runs one config under Slurm: sbatch scripts/v3.sh [CONFIG]     (or without Slurm: bash scripts/v3.sh [CONFIG])
# Submit from a clone, or from a folder where relic-train is installed. CONFIG defaults to configs/v3.yaml.
# The run is one process, whatever the number of GPUs.
set -euo pipefail

config="${1:-configs/v3.yaml}"
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
# Replaces this shell, so that signals of the scheduler reach the program itself.
exec node "$program" --config "$config"
