# Functions to install system packages; sourced by the other scripts, which set NAME.

say() { printf '%s: %s\n' "$NAME" "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

# The lists of a new machine are empty.
update_lists() {
    as_root apt-get update -qq
}

install_system_packages() {
    local packages=("$@")
    if can_install; then
        say "installing ${packages[*]} with apt-get"
        update_lists
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    else
        say "these system packages are missing: ${packages[*]}"
        say "install them (sudo apt-get install ${packages[*]}) and run make again"
        exit 2
    fi
}

# Whether the linker knows a library, by a pattern. Its program is not on the path of Debian's users.
has_library() {
    grep -Eq "$1" <<<"$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p)"
}

# A browser that playwright can drive headless, by the names that Debian, Ubuntu and Google give it. Ubuntu's package is
# a snap, which does not run everywhere.
has_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

# LLVM before 17 cannot compile for AVX-512 what Mitsuba emits. Versions are installed beside each other.
has_llvm() {
    has_library 'libLLVM(-|\.so\.)(1[7-9]|2[0-9])'
}

# The package with the LLVM library that Mitsuba compiles with: version 19, which this was tested with, else the newest
# that apt knows, 17 at least (libllvm17t64 on Ubuntu 24.04); nothing when there is none.
llvm_package() {
    local packages
    packages=$(apt-cache search --names-only '^libllvm(1[7-9]|2[0-9])(t64)?$' 2>/dev/null | awk '{print $1}' | sort -V)
    [ -z "$packages" ] || grep -x libllvm19 <<<"$packages" || tail -n 1 <<<"$packages"
}
