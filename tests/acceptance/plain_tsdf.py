"""The loop of Open3D's documentation, as the peer and the reference that fusion is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import open3d
from numpy.typing import NDArray

from lotus_recon.types import FloatArray, Mesh, View

BLOCKS = 40_000


def plain_tsdf(maps: Iterable[tuple[View, FloatArray, NDArray[np.uint8]]], voxel_size: float, max_depth: float) -> Mesh:
    """Mesh of depth maps (H, W), 0 where unknown, with their photos, in the unit of the poses."""
    core: Any = open3d.core
    kinds = (core.float32, core.float32, core.float32)
    voxel_block_grid: Any = open3d.t.geometry.VoxelBlockGrid
    grid = voxel_block_grid(("tsdf", "weight", "color"), kinds, (1, 1, 3), voxel_size, 16, BLOCKS)
    for view, values, rgb in maps:
        depth = open3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(values, np.float32)))
        color = open3d.t.geometry.Image(core.Tensor(rgb.astype(np.float32) / 255))
        K, pose = core.Tensor(view.camera.K), core.Tensor(view.cam_from_world)
        blocks = grid.compute_unique_block_coordinates(depth, K, pose, 1.0, max_depth)
        grid.integrate(blocks, depth, color, K, pose, 1.0, max_depth)
    mesh = grid.extract_triangle_mesh(weight_threshold=1.0)
    triangles = mesh.triangle.indices.numpy().astype(np.int32)
    return Mesh(mesh.vertex.positions.numpy(), triangles)
