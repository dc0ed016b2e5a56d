#!/usr/bin/env bash
#SBATCH --job-name=relic-v3
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:4
#SBATCH --mem=300G
#SBATCH --time=4-00:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Runs one config on all GPUs:
#
#   sbatch scripts/v3.sh [CONFIG [OPTION...]]     under Slurm
#   scripts/v3.sh [CONFIG [OPTION...]]            elsewhere: a rank for each GPU where mpirun is installed, else one
#   mpirun -n 4 scripts/v3.sh CONFIG              each process is a rank; so it is with srun or torchrun's variables
#
# Start it in a clone, or where relic-train is installed. CONFIG defaults to configs/v3.yaml; options go to relic-train.
#
# The lines above ask for one node with 4 GPUs, a task and 8 CPUs for each. Options of sbatch win over them: two nodes of
# 8 GPUs are `sbatch --nodes=2 --ntasks-per-node=8 --gres=gpu:8 scripts/v3.sh CONFIG`, a machine without GPUs
# `sbatch --gres=none ...`. A task uses one GPU, so there should be as many tasks on a node as GPUs.
#
# Ranks find each other without MPI, and on GPUs they talk through NCCL, so srun needs no --mpi. CPU ranks that are to talk
# through MPI need the environment of sbatch to have SLURM_MPI_TYPE=pmix for Open MPI, SLURM_MPI_TYPE=pmi2 for MPICH and
# Intel MPI; with SLURM_MPI_TYPE=none they talk through Gloo.
#
# Two minutes before the time limit, and when the job is preempted, the run saves itself and the job is queued again; it
# then goes on in the same directories. Stages without a run id are called job_ID. A job that failed for another reason
# is continued by a new one: sbatch scripts/v3.sh CONFIG --resume models/v3/pretrain/job_ID
set -euo pipefail

config="${1:-configs/v3.yaml}"
options=("${@:2}")
say() { echo "v3.sh: $*" >&2; }

# Slurm runs a copy of this script, so its own folder says nothing; the folder it is started in does.
if [[ -x node_modules/.bin/relic-train ]]; then
  program=node_modules/.bin/relic-train
elif [[ -f dist/cli.js ]]; then
  program=dist/cli.js
else
  say "no relic-train in $PWD: run 'npm ci' in a clone, or 'npm install relic-train'"
  exit 2
fi
run=(node "$program" --config "$config")
[[ -z ${SLURM_JOB_ID:-} ]] || run+=(--run-id "job_$SLURM_JOB_ID" --resume auto)
run+=(${options[@]+"${options[@]}"})

# A rank that a launcher started. `exec` replaces this shell, so that signals reach the program itself.
if [[ -n ${OMPI_COMM_WORLD_RANK:-}${PMI_RANK:-}${RANK:-}${SLURM_STEP_ID:-} ]]; then
  exec "${run[@]}"
fi

gpus=0
if command -v nvidia-smi > /dev/null; then
  gpus="$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ' || true)"
fi
if [[ $gpus -gt 0 && -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
  IFS=, read -ra visible <<< "$CUDA_VISIBLE_DEVICES"
  gpus=${#visible[@]}
fi
say "config $config, $gpus GPU(s), ${SLURM_CPUS_PER_TASK:-$(nproc)} CPU(s), node $(node --version)"

if [[ -z ${SLURM_JOB_ID:-} ]]; then
  if [[ $gpus -gt 1 ]]; then
    if command -v mpirun > /dev/null; then
      say "mpirun starts $gpus ranks, one for each GPU"
      # Open MPI 4 and 5 would bind each rank to a core or two, with all its threads; MPICH binds to none.
      export OMPI_MCA_hwloc_base_binding_policy="${OMPI_MCA_hwloc_base_binding_policy:-none}"
      export PRTE_MCA_hwloc_default_binding_policy="${PRTE_MCA_hwloc_default_binding_policy:-none}"
      exec mpirun -n "$gpus" "${run[@]}"
    fi
    say "WARNING: there is no mpirun to start a rank for each GPU, so one process uses one of the $gpus"
  fi
  exec "${run[@]}"
fi

tasks="${SLURM_NTASKS:-1}"
here="${SLURM_TASKS_PER_NODE:-1}"
here="${here%%[(,]*}"
if [[ $gpus -gt 0 && $gpus -ne $here ]]; then
  say "WARNING: $here task(s) on a node with $gpus GPU(s); a task uses one GPU: sbatch --ntasks-per-node=$gpus"
fi
# A step of its own: Slurm sends the signal ahead of the time limit to steps, and not to this shell. Without
# --kill-on-bad-exit, tasks that wait for a dead one would keep the job until its time limit.
step=(srun "--ntasks=$tasks" "--cpus-per-task=${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1)
say "job $SLURM_JOB_ID${SLURM_RESTART_COUNT:+, started again $SLURM_RESTART_COUNT time(s)}: ${step[*]} ${run[*]}"
status=0
"${step[@]}" "${run[@]}" || status=$?
if [[ $status -eq 85 ]]; then
  say "the run was saved; job $SLURM_JOB_ID is queued again"
  scontrol requeue "$SLURM_JOB_ID" || say "it could not be: submit it again with --run-id job_$SLURM_JOB_ID"
fi
exit "$status"
