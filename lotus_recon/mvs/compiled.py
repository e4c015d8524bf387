"""How the loops of the search are compiled: as all compiled loops, but sums may be reordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lotus_recon.compiled import compiled

_Function = TypeVar("_Function", bound=Callable[..., Any])
_FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}  # not-a-number stays what it is


def kernel(function: _Function) -> _Function:
    """Compile a loop over pixels that threads call, each with rows of its own: it releases Python's lock."""
    return compiled(function, fastmath=_FASTMATH, nogil=True)


def per_pixel(function: _Function) -> _Function:
    """Compile what a kernel calls for a pixel. It must allocate nothing: see ``compiled.inner``."""
    return compiled(function, fastmath=_FASTMATH, _nrt=False)


def inlined(function: _Function) -> _Function:
    """The same, put into the code of its callers, whose loops then stay short."""
    return compiled(function, fastmath=_FASTMATH, _nrt=False, inline="always")
