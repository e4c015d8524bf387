#!/usr/bin/env bash
# Installs what furnished rooms are made of: Sweet Home 3D's furniture (apt), the textures in its jar (unpacked into the
# work folder, since installing the program would pull in Java), and the LLVM library (17 or later) that Mitsuba compiles with.
set -euo pipefail

NAME=assets
FOLDER=${LOTUS_RECON_WORK:-work}/assets
JAR=usr/share/sweethome3d/sweethome3d.jar
source "$(dirname "$0")/apt.sh"

missing_packages() {
    [ -d /usr/share/sweethome3d/furniture ] || echo sweethome3d-furniture
    has_llvm || llvm_package
}

known_to_apt() {
    apt-cache show sweethome3d >/dev/null 2>&1
}

unpack_jar() {
    SCRATCH=$(mktemp -d)
    trap 'rm -rf "$SCRATCH"' EXIT
    say "unpacking the textures of the package sweethome3d into $FOLDER"
    (cd "$SCRATCH" && apt-get -o APT::Sandbox::User=root download -qq sweethome3d)
    dpkg-deb --fsys-tarfile "$SCRATCH"/sweethome3d_*.deb | tar -x -C "$SCRATCH" "./$JAR"
    mkdir -p "$FOLDER"
    mv "$SCRATCH/$JAR" "$FOLDER/"
}

command -v apt-get >/dev/null || { say "this needs apt (Debian or Ubuntu); without it rooms are furnished with simple shapes"; exit 2; }
if ! known_to_apt && can_install; then
    update_lists
fi
known_to_apt || { say "apt does not know the package sweethome3d: enable 'universe' (Ubuntu) or run sudo apt-get update"; exit 2; }
mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then
    install_system_packages "${packages[@]}"
fi
[ -f "/$JAR" ] || [ -f "$FOLDER/$(basename "$JAR")" ] || unpack_jar
say "ready: furniture in /usr/share/sweethome3d, textures in ${FOLDER}"
