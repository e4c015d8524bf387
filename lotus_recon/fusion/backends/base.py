"""What a fusion back-end is. Imports no library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lotus_recon.stages import StageSpec

if TYPE_CHECKING:
    from lotus_recon.config import Runtime
    from lotus_recon.fusion.config import FusionConfig
    from lotus_recon.fusion.views import FusionViews
    from lotus_recon.types import Mesh


@dataclass(frozen=True)
class Backend:
    """One way to make a mesh of depth maps.

    ``fuse(views, config, options, runtime)`` returns the mesh in world axes and figures for fusion.json, among them
    ``seconds`` by step and ``pixel_footprint`` in units of the scene. It raises FusionError when nothing is left, and
    imports its libraries when it is called.
    """

    name: str
    summary: str
    fuse: Callable[[FusionViews, FusionConfig, Any, Runtime], tuple[Mesh, dict[str, Any]]]
    # Name and type of the group of options that it has for itself.
    group: tuple[str, type[Any]] | None = None
    # Stages that a run with this back-end has besides the others.
    requires: tuple[StageSpec[Any, Any], ...] = ()
