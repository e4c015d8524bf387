"""How sure the photos are of a vertex: by the depth maps that it lies on, whatever else the volume averaged."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lotus_recon.fusion.views import FusionMap
from lotus_recon.geometry.points import in_view
from lotus_recon.types import View


def vertex_confidence(
    vertices: NDArray[np.float32], maps: Iterable[tuple[View, FusionMap]], truncation: float
) -> NDArray[np.float32]:
    """(V,) summed weight of the maps whose depth is within ``truncation`` of a vertex (V, 3), at most 1."""
    total = np.zeros(len(vertices), np.float32)
    for view, depth_map in maps:
        inside, at, z = in_view(vertices, view)
        depth = depth_map.depth[at]
        weight = 1.0 if depth_map.weight is None else depth_map.weight[at]
        total[inside] += np.where((depth > 0) & (np.abs(depth - z) < truncation), weight, 0)
    return np.minimum(total, 1)
