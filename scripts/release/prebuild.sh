#!/usr/bin/env bash
# prebuild.sh [linux-x64] [linux-arm64]: compiles the native engine for old machines into prebuilds/, which `npm pack` puts
# in the package, and checks what came out. Both unless one is named. Needs cmake, ninja, what `npm ci` installs, and
# chroot (by root, or in a user namespace); the compilers are Debian 11's, see debian-root.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

root="$(realpath -m "${RELIC_RELEASE_ROOT:-build/debian11}")"
scripts/release/debian-root.sh "$root"
[[ $# -gt 0 ]] || set -- linux-x64 linux-arm64
enter="chroot"
[[ $(id -u) -eq 0 ]] || enter="unshare -r chroot"

source="$root/source"
rm -rf "$source"
mkdir -p "$source/node_modules"
cp -r CMakeLists.txt package.json native scripts/release/old-glibc.h "$source/"
cp -rL node_modules/node-api-headers node_modules/node-addon-api "$source/node_modules/"

binaries=()
for platform in "$@"; do
  case "$platform" in
    linux-x64) processor=x86_64 ;;
    linux-arm64) processor=aarch64 ;;
    *) echo "prebuild.sh: no recipe for $platform" >&2 && exit 2 ;;
  esac
  # cmake is this machine's, the compiler the root's, which knows paths without the root's own.
  compiler="$source/compiler-$platform"
  printf '#!/bin/bash\nroot=%q\nexec %s "$root" env -C "${PWD//"$root"/}" %s-linux-gnu-g++ "${@//"$root"/}"\n' \
    "$root" "$enter" "$processor" > "$compiler"
  chmod +x "$compiler"
  build="$source/build-$platform"
  mkdir -p "prebuilds/$platform"
  {
    cmake -G Ninja -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
      -DCMAKE_SYSTEM_PROCESSOR="$processor" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_MODULE_LINKER_FLAGS=-s \
      -DCMAKE_CXX_FLAGS="-include $source/old-glibc.h" \
      && cmake --build "$build" --target relic
  } > "$build.log" 2>&1 || { tail -n 40 "$build.log" && exit 1; }
  binary="prebuilds/$platform/relic-train.glibc.node"
  cp "$build/relic.node" "$binary"
  binaries+=("$binary")
done
node scripts/release/check-binary.mjs "${binaries[@]}"
