"""Space carving: which blocks of the volume a view looks through.

A view that surely sees a surface also sees that nothing lies before it (Kutulakos and Seitz, "A theory of shape by
space carving", IJCV 2000). Blocks there were allocated because another view put a surface in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from lotus_recon.fusion.blocks import BLOCK_RESOLUTION, unpack
from lotus_recon.fusion.views import SURE, FusionMap
from lotus_recon.geometry.pose import transform
from lotus_recon.types import View

_POOL_PX = 32  # window in which the farthest surface is looked up


def blocks_before(view: View, depth_map: FusionMap, blocks: NDArray[np.int64], voxel_size: float) -> NDArray[np.int64]:
    """Those of the packed ``blocks`` (N,) that may lie between a view and the surface that it surely sees."""
    sure = depth_map.depth if depth_map.weight is None else np.where(depth_map.weight >= SURE, depth_map.depth, 0)
    farthest = maximum_filter(sure, _POOL_PX)
    size = voxel_size * BLOCK_RESOLUTION
    radius = size * np.sqrt(3) / 2
    x, y, z = transform(view.cam_from_world, (unpack(blocks) + 0.5) * size).T
    camera = view.camera
    ahead = z > radius
    z = np.where(ahead, z, 1.0)
    col, row = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    reach = camera.fx * radius / z
    touched = (col > -reach) & (col < camera.width + reach) & (row > -reach) & (row < camera.height + reach)
    col, row = (np.clip(v, 0, n - 1).astype(np.int64) for v, n in ((col, camera.width), (row, camera.height)))
    # A block larger than the window may lie before a surface outside of it.
    before = (z - radius < farthest[row, col]) | (reach > _POOL_PX / 2)
    chosen: NDArray[np.int64] = blocks[ahead & touched & before]
    return chosen
