"""The fusion backends by name. A new one is a module with a function like ``tsdf.fuse`` and its line here.

``FusionName`` in config.py lists the same names, so that --help shows them; a test compares the two.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from lotus_recon.config import Runtime, nearest
from lotus_recon.errors import InputError
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.views import FusionViews
from lotus_recon.types import Mesh

BACKENDS = {
    "tsdf": "lotus_recon.fusion.tsdf:fuse",
    "normal": "lotus_recon.fusion.tsdf:fuse",  # of maps that normal_integration made before they were checked
}


class Backend(Protocol):
    """Fuses views into a raw mesh in world axes and tells its figures. Raises FusionError when nothing is left."""

    def __call__(self, views: FusionViews, config: FusionConfig, runtime: Runtime) -> tuple[Mesh, dict[str, Any]]: ...


def get_backend(name: str) -> Backend:
    """The backend called ``name``. Raises InputError with the known names."""
    if name not in BACKENDS:
        raise InputError(f"unknown fusion backend {name!r}{nearest(name, list(BACKENDS))}")
    module, function = BACKENDS[name].split(":")
    backend: Backend = getattr(importlib.import_module(module), function)
    return backend
