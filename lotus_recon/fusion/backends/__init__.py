"""The fusion back-ends. A new one is a file here with its ``Backend``, and its name in ``BACKENDS``."""

from __future__ import annotations

from lotus_recon.errors import InputError
from lotus_recon.fusion.backends.base import Backend
from lotus_recon.fusion.backends.normal import NORMAL
from lotus_recon.fusion.backends.tsdf import TSDF

BACKENDS: tuple[Backend, ...] = (TSDF, NORMAL)


def get_backend(name: str) -> Backend:
    """The back-end called ``name``. Raises InputError with the known names."""
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    raise InputError(f"--fusion {name}: must be one of {', '.join(backend.name for backend in BACKENDS)}")
