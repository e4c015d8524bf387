"""Which system packages the set-up installs, on systems of which only the answers of ldconfig and apt-cache exist."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/apt.sh"


def told(folder: Path, command: str, libraries: Sequence[str] = (), packages: Sequence[str] = ()) -> str:
    """What a function of apt.sh prints where the linker knows libraries and apt packages; "no" when it fails."""
    listed = "".join(f"\t{name} (libc6,x86-64) => /usr/lib/{name}\n" for name in libraries)
    write_program(folder / "ldconfig", f"cat <<'END'\n{listed}END")
    # Its search takes a pattern, as grep does.
    known = "".join(f"{name} - Modular compiler\n" for name in packages)
    write_program(folder / "apt-cache", f"grep -E \"${{3%\\$}} \" <<'END'\n{known}END")
    shell = f"export PATH={folder}:$PATH; source {SCRIPT}; {command} || echo no"
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.strip()


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("libraries", "answer"),
    [
        (("libLLVM-14.so.1", "libLLVM-15.so.1"), "no"),
        (("libLLVM-16.so.1",), "no"),
        (("libLLVM-15.so.1", "libLLVM-17.so.1"), ""),
        (("libLLVM.so.19.1",), ""),
        (("libLLVM.so.22.1", "libLLVM-15.so.1"), ""),
        ((), "no"),
    ],
)
def test_llvm_17_is_the_oldest_that_counts(libraries: Sequence[str], answer: str, tmp_path: Path) -> None:
    assert told(tmp_path, "has_llvm", libraries) == answer


@pytest.mark.parametrize(
    ("packages", "chosen"),
    [
        (("libllvm14", "libllvm15", "libllvm16", "libllvm19", "libllvm22"), "libllvm19"),
        (("libllvm15", "libllvm17t64", "libllvm18"), "libllvm18"),
        (("libllvm15", "libllvm17t64"), "libllvm17t64"),
        (("libllvm9", "libllvm15", "libllvm-19-ocaml-dev", "libllvmlibc-19-dev"), ""),
        ((), ""),
    ],
)
def test_llvm_19_is_preferred_to_newer_ones_and_those_to_older_ones(
    packages: Sequence[str], chosen: str, tmp_path: Path
) -> None:
    assert told(tmp_path, "llvm_package", packages=packages) == chosen
