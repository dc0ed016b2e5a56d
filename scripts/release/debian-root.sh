#!/usr/bin/env bash
# debian-root.sh DIR: unpacks Debian 11 (glibc 2.31, g++ 10, for this machine and for arm64) into DIR, which prebuild.sh
# compiles in: a binary runs where the glibc is at least as new as the one it was linked against. Nothing is installed on
# this machine; it needs apt, dpkg, a Debian mirror (DEBIAN_MIRROR) and some 600 MB. A finished DIR is left as it is.
set -euo pipefail

root="$(realpath -m "${1:?usage: debian-root.sh DIR}")"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ ! -e "$root/.complete" ]] || exit 0

apt="$(mktemp -d)"
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc} "$root"
touch "$apt/status"
echo "deb [arch=amd64 signed-by=$keyring] $mirror bullseye main" > "$apt/etc/sources.list"
options=(-o "Dir::Etc::sourcelist=$apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
  -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Install-Recommends=false -o APT::Sandbox::User=root
  -o Acquire::Check-Valid-Until=false)
apt-get "${options[@]}" -qq update
apt-get "${options[@]}" -qq -y --download-only install g++ libc6-dev g++-aarch64-linux-gnu dash coreutils
for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
mkdir -p "$root"/{dev,tmp,source}
ln -sf dash "$root/bin/sh"
touch "$root/.complete"
