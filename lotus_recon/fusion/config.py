"""Options of fusion, whichever back-end does it; those of a back-end stand in its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Gt, Interval, Unit

from lotus_recon.limits import Positive
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedFusion(Options):
    """Options that few need to turn, in YAML only."""

    # Pixels whose confidence is not above this are not fused.
    min_fused_confidence: Annotated[float, Interval(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class FusionConfig(Options):
    """How aligned depth maps become one mesh."""

    # Back-end. tsdf: fuse the depth maps as they are; normal: first integrate each view's normals, with its depth as a
    # guide.
    fusion: str = "tsdf"
    # Pixels farther than this many times the median depth of all maps are not fused. At 3, with voxels of 2 median
    # footprints, the footprint of the farthest pixels is 1.5 voxels; beyond, the surface would have holes.
    max_depth_ratio: Positive = 3.0
    # Part of the scene that is reconstructed: x0,y0,z0,x1,y1,z1, a box in the axes and the unit of the scene, whose
    # numbers the clip box of report/view.html copies; or auto: what more than half of the cameras look at. Written
    # --crop=-1,0,0,1,1,2, with =, where it begins with a minus. None: all of it.
    crop: str | None = None
    # Most memory that fusion takes (1e9 bytes); voxels are coarsened to fit. None: 60 % of what is free.
    memory_gb: Annotated[float | None, Gt(0), Unit("gigabytes")] = None
    advanced: AdvancedFusion = field(default_factory=AdvancedFusion)
