"""Loops that numba compiles: on their first call ever, kept in the program's cache."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

from lotus_recon.cache import cache_folder

log = logging.getLogger(__name__)

_numba: Any = numba  # its types, where it has some, know neither its settings nor all options used here
_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile a loop that several threads may run at once: it releases Python's lock."""
    return compiled(function, nogil=True)


def inner(function: _Function) -> _Function:
    """Compile what a kernel calls for an element. It must allocate nothing.

    So the compiler need not count the references to every array that it is given, which would take as long as its work.
    """
    return compiled(function, _nrt=False)


def compiled(function: _Function, **options: Any) -> _Function:
    """The function, compiled with these options of ``numba.njit``, and kept with the version of its room."""
    folder, before = _folder(Path(function.__code__.co_filename).parent), _numba.config.CACHE_DIR
    _numba.config.CACHE_DIR = folder or before  # read here and now, not at the first call
    try:
        # Numbers divide as in numpy: without a check for zero.
        result: _Function = _numba.njit(cache=folder is not None, error_model="numpy", **options)(function)
    finally:
        _numba.config.CACHE_DIR = before
    return result


@cache
def _folder(room: Path) -> str | None:
    """Where compiled code of a room is kept: a folder per version of all its files, and of this one.

    The compiler itself would look at the file of a function only, not at those that it calls. None where nothing can be
    written: every process compiles for itself then.
    """
    sources = b"".join(path.read_bytes() for path in [Path(__file__), *sorted(room.glob("*.py"))])
    folder = cache_folder() / "compiled" / hashlib.sha256(sources).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        log.warning("compiled code cannot be kept in %s (%s): it is compiled again by every process", folder, error)
        return None
