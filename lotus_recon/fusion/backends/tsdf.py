"""``--fusion tsdf``: a truncated signed distance function in voxel blocks (Curless and Levoy, SIGGRAPH 1996)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lotus_recon.fusion.backends.base import Backend
from lotus_recon.fusion.volume_config import TsdfConfig

if TYPE_CHECKING:
    from lotus_recon.config import Runtime
    from lotus_recon.fusion.config import FusionConfig
    from lotus_recon.fusion.views import FusionViews
    from lotus_recon.types import Mesh


def fuse(
    views: FusionViews, config: FusionConfig, options: TsdfConfig, runtime: Runtime
) -> tuple[Mesh, dict[str, Any]]:
    """See ``Backend``."""
    from lotus_recon.fusion.volume_integration import fuse as integrate

    return integrate(views, config, options, runtime)


TSDF = Backend("tsdf", "the depth maps as they are", fuse, group=("tsdf", TsdfConfig))
