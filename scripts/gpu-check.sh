#!/usr/bin/env bash
# Checks and times the GPU engine on the GPU of this machine, in about ten minutes and without a network:
#
#   scripts/gpu-check.sh OUT_DIR
#
# It needs an NVIDIA GPU, nvcc 12.4 or later, cmake and a C++ compiler. Python 3 adds the check of dropout masks,
# compute-sanitizer the checks of memory and races, Node.js with `npm ci` done the op tests, PyTorch's vectors and the
# golden runs, and torch with RELIC_ORACLE_DIR (its bench_torch.py) the race against PyTorch as written. What is left out
# is said. OUT_DIR receives logs and report.json; the table comes last, before `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -ne 1 ]]; then
  echo "usage: scripts/gpu-check.sh OUT_DIR" >&2
  exit 2
fi
mkdir -p "$1"
out="$(cd "$1" && pwd)"
if ! command -v nvidia-smi > /dev/null || ! nvidia-smi -L > "$out/gpus.txt" 2>&1 || ! grep -q '^GPU ' "$out/gpus.txt"; then
  echo "gpu-check: this machine has no NVIDIA GPU, or its driver does not run (nvidia-smi -L lists none)." >&2
  echo "  Without one, node scripts/native-tests.mjs runs the same kernels on the CPU." >&2
  exit 3
fi
for tool in nvcc cmake c++; do
  if ! command -v "$tool" > /dev/null; then
    echo "gpu-check: $tool is not on the PATH; it is needed to build the GPU engine." >&2
    exit 3
  fi
done

passed=0
failed=0
results=()

# check NAME COMMAND...: one pass or one failure; the output goes to OUT_DIR/NAME.log.
check() {
  local name="$1" started=$SECONDS verdict=pass
  shift
  if ! "$@" > "$out/$name.log" 2>&1; then
    verdict=FAIL
    tail -n 15 "$out/$name.log"
  fi
  [[ $verdict == pass ]] && passed=$((passed + 1)) || failed=$((failed + 1))
  results+=("$name|$verdict|$((SECONDS - started))")
  echo "== $name: $verdict ($((SECONDS - started)) s)"
}
left_out() {
  results+=("$1|left out: $2|0")
  echo "== $1 left out: $2"
}

gpu="$(sed -n 's/^GPU 0: \(.*\) (UUID.*/\1/p' "$out/gpus.txt")"
capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)"
arch="${capability/./}"
[[ $arch == 90 ]] && arch=90a
build="$out/build"
export RELIC_CUDA_ARCHS="$arch"
configure() { cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DRELIC_ADDON=OFF "-DRELIC_CUDA_ARCHS=$arch"; }
check configure configure
check build cmake --build "$build" --parallel --target relic_cuda cuda_engine_gpu

# Where cuBLASLt may be: the loader's, the toolkit's, the Python environment's.
cublas=(libcublasLt.so.13 libcublasLt.so.12)
for folder in "$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")"/lib* \
  $(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib")' 2> /dev/null); do
  for file in "$folder"/libcublasLt.so.1[23]; do
    [[ -e $file ]] && cublas+=("$file")
  done
done
[[ -n ${RELIC_CUBLASLT:-} ]] && cublas=("$RELIC_CUBLASLT" "${cublas[@]}")
for file in "${cublas[@]}"; do
  [[ $file == /* && -z ${RELIC_CUBLASLT:-} ]] && export RELIC_CUBLASLT="$file"
done

check engine "$build/cuda_engine_gpu" "${cublas[@]}"
check engine-own-products "$build/cuda_engine_gpu"
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck initcheck; do
    check "$tool" timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/cuda_engine_gpu"
  done
else
  left_out sanitizer 'no compute-sanitizer'
fi
if command -v python3 > /dev/null; then
  check masks python3 scripts/gpu/masks.py "$build/Release/librelic_cuda.so"
else
  left_out masks 'no python3'
fi

if command -v node > /dev/null && [[ -d node_modules ]]; then
  check npm-build npm run build
  check doctor node dist/cli.js doctor
  check op-tests node scripts/test.mjs engine/ops engine/masks engine/cross-engine
  check vectors node scripts/test.mjs engine/vectors
  check golden npm run golden -- --engine cuda
  for preset in 'seed fixed:32 16' 'logged pring 32' 'prod pring 32'; do
    read -r name lengths batch <<< "$preset"
    for amp in none bf16 fp16; do
      check "bench-$name-$amp" node scripts/bench/step.mjs --preset "$name" --lengths "$lengths" --batch "$batch" \
        --engine cuda --amp "$amp" --steps 30
    done
  done
else
  left_out 'op tests, vectors, golden runs, bench' 'no Node.js, or npm ci was not run'
fi
oracle="${RELIC_ORACLE_DIR:-../shared/oracle}"
if [[ -f $oracle/bench_torch.py ]] && python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
  for preset in 'seed fixed:32 16' 'logged pring 32' 'prod pring 32'; do
    read -r name lengths batch <<< "$preset"
    for amp in none bf16 fp16; do
      check "torch-$name-$amp" python3 "$oracle/bench_torch.py" --preset "$name" --lengths "$lengths" --batch "$batch" \
        --device cuda --amp "$amp" --steps 30
    done
  done
else
  left_out 'race against PyTorch' "no torch with CUDA, or no $oracle/bench_torch.py"
fi

# A line of JSON of each timing, and a table.
{
  echo "{\"gpu\": \"$gpu\", \"capability\": \"$capability\", \"nvcc\": \"$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')\","
  echo ' "checks": ['
  separator=''
  for each in "${results[@]}"; do
    IFS='|' read -r name verdict seconds <<< "$each"
    echo "  $separator{\"name\": \"$name\", \"verdict\": \"$verdict\", \"seconds\": $seconds}"
    separator=','
  done
  echo ' ], "timings": {'
  separator=''
  for log in "$out"/bench-*.log "$out"/torch-*.log; do
    [[ -e $log ]] || continue
    line="$(grep -E '^\{.*\}$' "$log" | tail -n 1 || true)"
    [[ -n $line ]] || continue
    echo "  $separator\"$(basename "$log" .log)\": $line"
    separator=','
  done
  echo ' }}'
} > "$out/report.json"

printf '\n%s, capability %s\n%-34s %-10s %12s\n' "$gpu" "$capability" step 'ms median' 'pairs/s'
for log in "$out"/bench-*.log "$out"/torch-*.log; do
  [[ -e $log ]] || continue
  ms="$(sed -n 's/.*"ms_median": *\([0-9.]*\).*/\1/p' "$log" | tail -n 1)"
  rate="$(sed -n 's/.*"pairs_per_s": *\([0-9.]*\).*/\1/p' "$log" | tail -n 1)"
  printf '%-34s %-10s %12s\n' "$(basename "$log" .log)" "${ms:--}" "${rate:--}"
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
