"""How the inner loops are compiled: on their first call ever, kept in the program's cache."""

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
# Sums may be reordered, but not-a-number stays what it is. Numbers divide as in numpy: without a check for zero.
_OPTIONS = {"fastmath": {"reassoc", "contract", "arcp", "nsz", "afn"}, "error_model": "numpy"}


def kernel(function: _Function) -> _Function:
    """Compile a loop over pixels that threads call, each with rows of its own: it releases Python's lock."""
    return _compiled(function, nogil=True)


def per_pixel(function: _Function) -> _Function:
    """Compile what a kernel calls for a pixel. It must allocate nothing.

    So the compiler need not count the references to every array that it is given, which would take as long as its work.
    """
    return _compiled(function, _nrt=False)


def inlined(function: _Function) -> _Function:
    """The same, put into the code of its callers, whose loops then stay short."""
    return _compiled(function, _nrt=False, inline="always")


def _compiled(function: _Function, **options: Any) -> _Function:
    folder, before = _folder(), _numba.config.CACHE_DIR
    _numba.config.CACHE_DIR = folder or before  # read here and now, not at the first call
    try:
        compiled: _Function = _numba.njit(cache=folder is not None, **_OPTIONS, **options)(function)
    finally:
        _numba.config.CACHE_DIR = before
    return compiled


@cache
def _folder() -> str | None:
    """Where compiled code is kept: a folder per version of all files here.

    The compiler itself would look at the file of a function only, not at those that it calls. None where nothing can be
    written: every process compiles for itself then.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    folder = cache_folder() / "compiled" / hashlib.sha256(sources).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        log.warning("compiled code cannot be kept in %s (%s): it is compiled again by every process", folder, error)
        return None
