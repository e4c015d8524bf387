#!/usr/bin/env bash
# Unpacks the models of games that streets and landscapes are made of into the work folder (installing the games would
# pull in what they need to run), and installs the program assimp, which reads them.
set -euo pipefail

NAME=assets-streets
FOLDER=${LOTUS_RECON_WORK:-work}/assets/worlds
declare -A PARTS=(
    [torcs-data]=./usr/share/games/torcs
    [flightgear-data-models]=./usr/share/games/flightgear/Models
)
source "$(dirname "$0")/apt.sh"

unpack() {
    local package=$1 scratch
    scratch=$(mktemp -d)
    say "unpacking $package into $FOLDER/$package"
    (cd "$scratch" && apt-get -o APT::Sandbox::User=root download -qq "$package")
    mkdir -p "$scratch/unpacked" "$FOLDER"
    dpkg-deb --fsys-tarfile "$scratch/$package"_*.deb |
        tar -x -C "$scratch/unpacked" "${PARTS[$package]}" "./usr/share/doc/$package"
    mv "$scratch/unpacked" "$FOLDER/$package"
    rm -rf "$scratch"
}

command -v apt-get >/dev/null || { say "this needs apt (Debian or Ubuntu); without it streets are of simple houses"; exit 2; }
can_install && update_lists
command -v assimp >/dev/null || install_system_packages assimp-utils
for package in "${!PARTS[@]}"; do
    if [ -d "$FOLDER/$package" ]; then
        continue
    elif apt-cache show "$package" >/dev/null 2>&1; then
        unpack "$package"
    else
        say "apt does not know $package: streets do without it"
    fi
done
say "ready: models in $FOLDER"
