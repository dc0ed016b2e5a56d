#!/usr/bin/env bash
# Checks and times the GPU engine on the GPU of this machine, in at most ten minutes and without a network:
#
#   scripts/gpu-check.sh OUT_DIR
#   scripts/gpu-check.sh --rehearse OUT_DIR     the same scripts on the CPU, with tiny models: a check of the check
#
# It needs an NVIDIA GPU, nvcc 12.4 or later, cmake, a C++ compiler, and python3 with torch for all that is compared or raced
# with PyTorch. Node.js is used where it is: on the PATH with `npm ci` done, or packed by scripts/gpu/prepare.sh on another
# machine; without it, prepare.sh must have written the programs. docs/gpu/README.md has the steps. A part that fails,
# or that has no time left, does not stop the others; what is left out is said.
# OUT_DIR receives report.json, report.md and logs.txt; the report's table comes last, before `N passed, N failed`.
# Exit status: 0 all passed, 1 a check failed, 2 wrong usage, 3 nothing ran, as something needed is not here.
set -euo pipefail
cd "$(dirname "$0")/.."

rehearse=''
if [[ ${1:-} == --rehearse ]]; then
  rehearse=--rehearse
  shift
fi
if [[ $# -ne 1 || $1 == -* ]]; then
  echo "usage: scripts/gpu-check.sh [--rehearse] OUT_DIR" >&2
  exit 2
fi
mkdir -p "$1"
out="$(cd "$1" && pwd)"
python="${RELIC_PYTHON:-python3}"
# A rehearsal checks no speed: it may take what a busy machine needs.
budget="${RELIC_GPU_CHECK_SECONDS:-$([[ -n $rehearse ]] && echo 3600 || echo 570)}"
carried="$PWD/build/gpu-carry"
work="$PWD/build/gpu-check"
rm -rf "$work/parts" "$work/logs"
mkdir -p "$work/parts" "$work/logs"
rm -f "$out/report.json" "$out/report.md"

nothing_ran() {
  echo "gpu-check: NOTHING RAN: $1" >&2
  echo "  $2" >&2
  printf '{"ran": false, "why": "%s"}\n' "$1" > "$out/report.json"
  exit 3
}

if [[ -n $rehearse ]]; then
  library="$PWD/build/native-tests/native-tests/librelic_cuda_emulated.so"
  [[ -f $library ]] || nothing_ran "$library is not there" 'node scripts/native-tests.mjs builds it.'
  "$python" -c 'import torch, numpy' 2> /dev/null || nothing_ran "$python has no torch and numpy" 'Set RELIC_PYTHON to one that has.'
else
  library="$work/Release/librelic_cuda.so"
  command -v nvidia-smi > /dev/null && nvidia-smi -L > "$work/gpus.txt" 2>&1 && grep -q '^GPU ' "$work/gpus.txt" ||
    nothing_ran 'this machine has no NVIDIA GPU, or its driver does not run (nvidia-smi -L lists none).' \
      'Without one, node scripts/native-tests.mjs runs the same kernels on the CPU, and --rehearse this script.'
  for tool in nvcc cmake c++; do
    command -v "$tool" > /dev/null || nothing_ran "$tool is not on the PATH" 'It is needed to build the GPU engine.'
  done
fi

# left SECONDS: the smaller of that and what is left of the budget.
left() {
  local rest=$((budget - SECONDS))
  echo $((rest < $1 ? rest : $1))
}
# note NAME VERDICT SECONDS REASON: a line of the report.
note() { printf '%s\t%s\t%s\t%s\n' "$@" >> "$work/parts/parts.tsv"; }
left_out() {
  note "$1" 'left out' 0 "$2"
  echo "== $1 left out: $2"
}
# part NAME SECONDS COMMAND...: one pass or one failure; it ends after so many seconds, or with the budget.
part() {
  local name="$1" limit started=$SECONDS verdict=pass status=0
  limit="$(left "$2")"
  shift 2
  if [[ $limit -lt 8 ]]; then
    left_out "$name" 'no time was left'
    return
  fi
  timeout -k 5 "$limit" "$@" > "$work/logs/$name.log" 2>&1 || status=$?
  if [[ $status -ne 0 ]]; then
    verdict=FAIL
    tail -n 12 "$work/logs/$name.log"
  fi
  note "$name" "$verdict" "$((SECONDS - started))" "$([[ $status -eq 124 ]] && echo "ended after $limit s")"
  echo "== $name: $verdict ($((SECONDS - started)) s, $SECONDS s in all)"
}

# Node.js: this machine's, or the one that prepare.sh packed.
if ! { command -v node > /dev/null && [[ -d node_modules ]]; } && [[ -f $carried/node.tar.xz ]]; then
  "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$carried/node.tar.xz" "$work"
  [[ -d node_modules ]] || ln -sfn "$work/node_modules" node_modules
  export PATH="$work/bin:$PATH"
fi
node=''
if command -v node > /dev/null && [[ -d node_modules ]] && node --version > "$work/node.txt" 2>&1; then node=yes; fi
programs="$carried/programs.json"
if [[ -n $node ]]; then
  programs="$work/programs.json"
  part programs 120 node scripts/gpu/programs.mjs "$programs"
fi
oracle="${RELIC_ORACLE_DIR:-../shared/oracle}"
[[ -f $oracle/v3_torch.py ]] || oracle="$carried/oracle"

cublas=()
# python_part NAME SECONDS SCRIPT PART...
python_part() {
  local name="$1" seconds="$2" script="$3" options=()
  shift 3
  for file in ${cublas[@]+"${cublas[@]}"}; do options+=(--cublas "$file"); done
  part "$name" "$seconds" "$python" "scripts/gpu/$script.py" "$@" --library "$library" --programs "$programs" \
    --oracle "$oracle" --out "$work/parts/$name.json" --seconds "$(left "$((seconds - 5))")" $rehearse \
    ${options[@]+"${options[@]}"}
}

report() {
  local status=0
  "$python" scripts/gpu/report.py "$work" "$out" $rehearse || status=$?
  for log in "$work"/logs/*.log; do
    printf '\n===== %s\n' "$(basename "$log" .log)"
    tail -c 200000 "$log"
  done > "$out/logs.txt"
  exit "$status"
}

if [[ -n $rehearse ]]; then
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
  part masks 600 "$python" scripts/gpu/masks.py "$library"
  python_part checks 900 checks ops attention parity dropout trajectory determinism
  python_part bench 900 bench peer seed evaluation
  python_part kernels 600 kernels ceilings dropout profile
  if [[ -n $node ]]; then part training 600 node scripts/gpu/training.mjs auto; fi
  report
fi

capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)"
arch="${capability/./}"
[[ $arch == 90 ]] && arch=90a

# Where cuBLASLt may be: the setting, the loader's, the toolkit's, the Python environment's.
cublas=(libcublasLt.so.13 libcublasLt.so.12)
toolkit="$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")"
for folder in "$toolkit"/lib* $("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib")' 2> /dev/null); do
  for file in "$folder"/libcublasLt.so.1[23]; do
    if [[ -e $file ]]; then cublas+=("$file"); fi
  done
done
if [[ -n ${RELIC_CUBLASLT:-} ]]; then
  cublas=("$RELIC_CUBLASLT" "${cublas[@]}")
elif [[ ${cublas[-1]} == /* ]]; then
  export RELIC_CUBLASLT="${cublas[-1]}"
fi

torch=''
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2> "$work/torch.txt" && [[ -f $programs ]]; then
  if [[ -f $oracle/v3_torch.py ]]; then torch=yes; fi
fi
# The peers compile while the engine is built and checked: both want the CPU, and neither is timed.
warming=''
if [[ -n $torch ]]; then
  setsid "$python" scripts/gpu/bench.py warm --library none --programs "$programs" --oracle "$oracle" \
    --out "$work/parts/warm.json" --seconds 150 > "$work/logs/warm.log" 2>&1 &
  warming=$!
  trap 'kill -- "-$warming" 2> /dev/null || true' EXIT
fi

addon=OFF
if [[ -n $node && -d node_modules/node-api-headers ]]; then addon=ON; fi
targets=(relic_cuda cuda_engine_gpu)
if [[ $addon == ON ]]; then targets+=(relic); fi
part configure 60 cmake -S . -B "$work" -DCMAKE_BUILD_TYPE=Release "-DRELIC_ADDON=$addon" "-DRELIC_CUDA_ARCHS=$arch" \
  "-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$work/Release"
part build 240 cmake --build "$work" --parallel "$(nproc)" --target "${targets[@]}"
[[ -f $library ]] || { echo "gpu-check: the GPU engine was not built; nothing else can run"; report; }

# Checks run beside each other, and beside the compiling peers; what is timed then has the machine for itself.
checks=()
beside() {
  "$@" &
  checks+=("$!")
}
beside part engine 120 "$work/cuda_engine_gpu" "${cublas[@]}"
beside part engine-own-products 120 "$work/cuda_engine_gpu"
beside part masks 60 "$python" scripts/gpu/masks.py "$library"
if [[ -n $torch ]]; then
  beside python_part ops 120 checks ops attention
  beside python_part parity 120 checks parity dropout
  beside python_part repeat 120 checks trajectory determinism
fi
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck; do
    beside part "$tool" 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/cuda_engine_gpu"
  done
else
  left_out sanitizer 'no compute-sanitizer'
fi
if [[ -n $node && -f $work/Release/relic.node ]]; then
  export RELIC_NATIVE="$work/Release/relic.node"
  beside part doctor 20 node --import tsx src/cli.ts doctor
  # RELIC's own variable for its tests on a cluster.
  if [[ ${RELIC_RUN_HPC_E2E:-1} != 0 ]]; then beside part training 120 node scripts/gpu/training.mjs cuda; fi
  beside part golden 120 node scripts/golden.mjs --engine cuda
  beside part op-tests 120 env TEST_JOBS=4 node scripts/test.mjs engine/ops engine/masks engine/cross-engine engine/vectors
else
  left_out 'training, golden runs and op tests through Node.js' 'no Node.js, no node_modules, or no addon was built'
fi
wait "${checks[@]}"

if [[ -n $torch ]]; then
  while kill -0 "$warming" 2> /dev/null && [[ $SECONDS -lt 240 ]]; do sleep 1; done
  if kill -- "-$warming" 2> /dev/null; then note compiling-the-peers 'left out' "$SECONDS" 'not all in time'; fi
  python_part bench-logged 110 bench peer logged
  python_part bench-seed 50 bench seed
  python_part bench-prod 70 bench prod
  python_part profile 40 kernels profile
  python_part evaluation 40 bench evaluation
  python_part ceilings 25 kernels dropout ceilings
else
  left_out 'comparisons and races with PyTorch' "no torch with CUDA in $python, no v3_torch.py, or no programs.json"
fi
report
