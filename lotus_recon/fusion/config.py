"""Options of fusion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Interval, Unit

from lotus_recon.limits import Positive
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedFusion(Options):
    """Options that few need to turn, in YAML only."""

    # Half width, in voxels, of the band around a surface that is averaged; wider than the depth noise.
    truncation_voxels: Annotated[float, Gt(1)] = 8.0
    # Pixels whose confidence is not above this are not fused.
    min_fused_confidence: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    # Surface is kept where the summed weight of its views is above this; a fully confident view counts 1.
    min_fused_weight: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True)
class FusionConfig(Options):
    """How aligned depth maps become one mesh."""

    # tsdf: fuse the depth maps as they are; normal: first integrate each view's normals, with its depth as a guide.
    fusion: str = "tsdf"
    # Edge of a voxel in units of the scene (metres where the scene is metric); none: from the pixel footprint.
    voxel_size: Positive | None = None
    # Edge of a voxel in pixel footprints (depth / focal length, median over the pixels of all views).
    voxel_footprints: Positive = 2.0
    # Pixels farther than this many times the median depth of all maps are not fused. At 3, with voxels of 2 median
    # footprints, the footprint of the farthest pixels is 1.5 voxels; beyond, the surface would have holes.
    max_depth_ratio: Positive = 3.0
    # Most memory that fusion takes (1e9 bytes); voxels are coarsened to fit. None: 60 % of what is free.
    memory_gb: Annotated[float | None, Gt(0), Unit("gigabytes")] = None
    advanced: AdvancedFusion = field(default_factory=AdvancedFusion)
