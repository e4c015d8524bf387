"""Which of Mitsuba's variants runs on this machine, found out in a subprocess: one that does not run aborts it.

The fast variant compiles its kernels with an LLVM library of the system. Which libraries can is a question of their
version and of the processor: LLVM before 17 cannot compile what Dr.Jit 1.5 emits for AVX-512.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lotus_recon import native
from lotus_recon.errors import InputError

log = logging.getLogger(__name__)

FAST, SCALAR = "llvm_ad_rgb", "scalar_rgb"
LIBRARY_VARIABLE = "DRJIT_LIBLLVM_PATH"  # the library that Dr.Jit takes; read when its LLVM part is first used

_TESTED = 19
_OLDEST = 17
_REMEDY = f"install LLVM {_OLDEST} or later (sudo apt-get install libllvm{_TESTED})"
_SCALAR_COST = "the scalar variant is used, which takes about four times as long"
_KERNEL = "from lotus_recon.synthetic.rooms.mitsuba_kernel import check_variant\ncheck_variant({!r})"


@dataclass(frozen=True)
class Variant:
    """A variant that runs here."""

    name: str
    library: Path | None = None  # the LLVM library to compile with; None leaves the choice to Dr.Jit
    drawback: str | None = None  # why it is not the fast one, and what to do about that


def best_variant() -> Variant:
    """The fastest variant that runs here; tried once for each machine and version, and remembered.

    A library that the user chose with DRJIT_LIBLLVM_PATH is the only one that is tried. Raises InputError when Mitsuba
    is not installed or no variant runs.
    """
    native.require(["mitsuba"])
    chosen = os.environ.get(LIBRARY_VARIABLE)
    return _best_variant((Path(chosen),) if chosen else tuple(llvm_libraries()))


@functools.lru_cache(maxsize=4)
def _best_variant(libraries: Sequence[Path]) -> Variant:
    reasons = {}
    for library in libraries:
        failure = _failure_of(FAST, library)
        if failure is None:
            log.debug("Mitsuba compiles with %s", library)
            return Variant(FAST, library)
        reasons[library] = failure
    # Where no library was found in the usual places, Dr.Jit may know another.
    if not libraries and _failure_of(FAST, None) is None:
        return Variant(FAST)
    failure = _failure_of(SCALAR, None)
    if failure is not None:
        raise InputError(f"none of Mitsuba's variants {FAST}, {SCALAR} runs here ({failure}); use --renderer raycast")
    return Variant(SCALAR, drawback=f"{_why(reasons)}: {_SCALAR_COST}; {_REMEDY}")


def _why(reasons: dict[Path, str]) -> str:
    if not reasons:
        return "Mitsuba finds no LLVM library"
    library, reason = next(iter(reasons.items()))
    return f"Mitsuba's fast variant does not run here with {library} ({reason})"


def _failure_of(variant: str, library: Path | None) -> str | None:
    """Why a small kernel cannot be run; None when it can be."""
    versions = {name: importlib.metadata.version(name) for name in ("mitsuba", "drjit")}
    facts = {"kernel": variant, "llvm": library and native.file_facts(library), **versions}
    outcome = native.recall(facts)
    if outcome is None:
        log.info("trying Mitsuba's variant %s with %s", variant, library or "the LLVM library that it finds")
        environment = {LIBRARY_VARIABLE: str(library)} if library else {}
        outcome = native.attempt(_KERNEL.format(variant), environment)
        if outcome.is_final:
            native.remember(facts, outcome)
    return outcome.failure


def llvm_libraries() -> list[Path]:
    """LLVM libraries of this system: the version that this was tested with, then the newest first."""
    libraries = {path.resolve() for path in _listed_by_the_linker() if path.exists()}
    versions = {path: _version(path) for path in libraries if _version(path) > 0}
    return sorted(versions, key=lambda path: (versions[path] != _TESTED, -versions[path], path))


def _listed_by_the_linker() -> Iterator[Path]:
    # Its program is not on the path of Debian's users.
    search = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
    try:
        listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, env=search, check=False).stdout
    except OSError:  # no Linux
        return
    for match in re.finditer(r"libLLVM\S* .*=> (/\S+)", listed):
        yield Path(match[1])


def _version(library: Path) -> int:
    """Of libLLVM-15.so.1 (up to 17), libLLVM.so.19.1; 0 for another file."""
    match = re.fullmatch(r"libLLVM(?:-|\.so\.)(\d+).*", library.name)
    return int(match[1]) if match else 0
