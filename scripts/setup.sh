#!/usr/bin/env bash
# Makes a virtual environment that can run everything: system libraries through apt where that is allowed, then pip.
set -euo pipefail

NAME=setup
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
# Open3D loads these even in its CPU build; python3-venv is a package of its own on Debian and Ubuntu.
LIBRARIES=(libusb-1.0.so.0:libusb-1.0-0 libGL.so.1:libgl1 libEGL.so.1:libegl1 libX11.so.6:libx11-6 libgomp.so.1:libgomp1)

source "$(dirname "$0")/apt.sh"

missing_packages() {
    local entry
    for entry in "${LIBRARIES[@]}"; do
        has_library "${entry%%:*}" || echo "${entry##*:}"
    done
    "$PYTHON" -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

command -v "$PYTHON" >/dev/null || { say "$PYTHON not found; set PYTHON=... to a Python 3.10-3.12"; exit 2; }
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || {
    say "$("$PYTHON" --version) cannot be used; Python 3.10, 3.11 or 3.12 is needed: make PYTHON=python3.11"
    exit 2
}
mapfile -t packages < <(missing_packages)
if [ ${#packages[@]} -gt 0 ]; then
    install_system_packages "${packages[@]}"
fi
# Without it rooms are path traced four times as slowly, too slowly for tests: good to have, not needed.
install_llvm() {
    local package
    update_lists && package=$(llvm_package) && [ -n "$package" ] && install_system_packages "$package"
}
if ! has_llvm && ! { can_install && (install_llvm); }; then
    say "no LLVM 17 or later for Mitsuba: the tests that need it are skipped (libllvm19 is the package, where apt has it)"
fi
# The tests of the page in 3D and of the app open it in a browser; they are skipped where there is none.
if ! has_browser && ! { can_install && (install_system_packages chromium); }; then
    say "no Chromium: the tests of the page in 3D are skipped (chromium is the package, where apt has it)"
fi
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
say "installing Python packages into $VENV: 3 GB and some minutes (more with PyTorch's CUDA build; see TORCH_INDEX_URL)"
# TORCH_INDEX_URL may name PyTorch's index of CPU-only builds, which are a tenth of the size.
"$VENV/bin/python" -m pip install $([ -t 1 ] || echo --quiet) --disable-pip-version-check \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} --constraint constraints.txt --editable '.[app,cluster,dev,eval,train]'
