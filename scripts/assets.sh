#!/usr/bin/env bash
# Installs what furnished rooms are made of: Sweet Home 3D's furniture (apt), the textures in its jar (unpacked into the
# work folder, since installing the program would pull in Java), and the LLVM library that Mitsuba compiles with.
set -euo pipefail

NAME=assets
FOLDER=${LOTUS_RECON_WORK:-work}/assets
JAR=usr/share/sweethome3d/sweethome3d.jar
source "$(dirname "$0")/apt.sh"

missing_packages() {
    [ -d /usr/share/sweethome3d/furniture ] || echo sweethome3d-furniture
    ldconfig -p | grep -Eq 'libLLVM(-|\.so\.)(1[5-9]|2[0-9])' || known_or_newest_llvm
}

# Version 19 is what this was tested with.
known_or_newest_llvm() {
    local packages
    packages=$(apt-cache search --names-only '^libllvm[0-9]+$' | awk '{print $1}' | sort -V)
    grep -x libllvm19 <<<"$packages" || tail -1 <<<"$packages"
}

unpack_jar() {
    SCRATCH=$(mktemp -d)
    trap 'rm -rf "$SCRATCH"' EXIT
    say "unpacking the textures of the package sweethome3d into $FOLDER"
    apt-cache show sweethome3d >/dev/null 2>&1 || as_root apt-get update -qq
    (cd "$SCRATCH" && apt-get -o APT::Sandbox::User=root download -qq sweethome3d)
    dpkg-deb --fsys-tarfile "$SCRATCH"/sweethome3d_*.deb | tar -x -C "$SCRATCH" "./$JAR"
    mkdir -p "$FOLDER"
    mv "$SCRATCH/$JAR" "$FOLDER/"
}

command -v apt-get >/dev/null || { say "this needs apt (Debian or Ubuntu); without it rooms are furnished with simple shapes"; exit 2; }
mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then
    install_system_packages "${packages[@]}"
fi
[ -f "/$JAR" ] || [ -f "$FOLDER/$(basename "$JAR")" ] || unpack_jar
say "ready: furniture in /usr/share/sweethome3d, textures in ${FOLDER}"
