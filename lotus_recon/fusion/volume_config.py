"""Options of the volume that depth maps are fused in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt

from lotus_recon.limits import Positive
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedTsdf(Options):
    """Options that few need to turn, in YAML only."""

    # Half width, in voxels, of the band around a surface that is averaged; wider than the depth noise. None: 4 for
    # depth that photos decide, 8 for other, which may be as noisy as a sensor's.
    truncation_voxels: Annotated[float | None, Gt(1)] = None
    # Surface is kept where the summed weight of its views is above this; a fully confident view counts 1.
    min_fused_weight: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True)
class TsdfConfig(Options):
    """The volume that depth maps are fused in."""

    # Edge of a voxel in units of the scene (metres where the scene is metric); none: from the pixel footprint.
    voxel_size: Positive | None = None
    # Edge of a voxel in pixel footprints (depth / focal length, median over the pixels of all views).
    voxel_footprints: Positive = 2.0
    advanced: AdvancedTsdf = field(default_factory=AdvancedTsdf)
