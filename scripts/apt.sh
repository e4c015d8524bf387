# Functions to install system packages; sourced by the other scripts, which set NAME.

say() { printf '%s: %s\n' "$NAME" "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

install_system_packages() {
    local packages=("$@")
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        say "installing ${packages[*]} with apt-get"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    else
        say "these system packages are missing: ${packages[*]}"
        say "install them (sudo apt-get install ${packages[*]}) and run make again"
        exit 2
    fi
}
