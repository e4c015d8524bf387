"""Options of the dense point cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from lotus_recon.options import Options


@dataclass(frozen=True)
class CloudConfig(Options):
    """How many points the fused cloud has."""

    # Most points of dense.ply: pixels are averaged in voxels of the size that leaves so many, or of half a pixel on the
    # surface where that leaves fewer.
    cloud_points: Annotated[int, Interval(ge=1, le=100_000_000)] = 200_000
