"""The loop of Open3D's documentation, as the peer and the reference that fusion is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import open3d
from numpy.typing import NDArray

from lotus_recon.types import FloatArray, Mesh, View

MaskedMap = tuple[View, FloatArray, NDArray[np.uint8]]  # view, depth (H, W) with 0 where unknown, photo


def plain_loop(maps: Iterable[MaskedMap], voxel_size: float, max_depth: float, blocks: int) -> Any:
    """Open3D mesh of all surface that any map shows, in the unit of the poses."""
    core: Any = open3d.core
    kinds = (core.float32, core.uint16, core.uint16)
    voxel_block_grid: Any = open3d.t.geometry.VoxelBlockGrid
    grid = voxel_block_grid(("tsdf", "weight", "color"), kinds, (1, 1, 3), voxel_size, 16, blocks)
    for view, values, rgb in maps:
        depth = open3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(values, np.float32)))
        color = open3d.t.geometry.Image(core.Tensor(rgb.astype(np.float32)))
        K, pose = core.Tensor(view.camera.K), core.Tensor(view.cam_from_world)
        touched = grid.compute_unique_block_coordinates(depth, K, pose, 1.0, max_depth)
        grid.integrate(touched, depth, color, K, pose, 1.0, max_depth)
    mesh = grid.extract_triangle_mesh(weight_threshold=0.0)
    mesh.vertex.colors = mesh.vertex.colors / 255
    return mesh


def plain_mesh(maps: Iterable[MaskedMap], voxel_size: float, max_depth: float, blocks: int = 40_000) -> Mesh:
    """``plain_loop`` as our type, without colours."""
    mesh = plain_loop(maps, voxel_size, max_depth, blocks)
    return Mesh(mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy().astype(np.int32))
