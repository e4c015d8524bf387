"""Where rays meet a mesh, and whether it lies before what photos surely show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.fusion.views import SURE
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import FloatArray, Mesh, View

_SAMPLES = 2000  # rays of a view
_TOLERANCE = 0.02  # of the distance


def blocked_ratio(mesh: Mesh, views: Sequence[View], maps: SceneMaps) -> float:
    """Share of the rays to confident depth of the views that meet the mesh earlier; 0 without such depth."""
    blocked, count = 0, 0
    for view in views:
        if not maps.has(view):
            continue
        one = maps.load(view)
        depth = one.depth_or_zero
        row, col = grid_samples((depth > 0) & (one.weight >= SURE), _SAMPLES)
        rays = rays_in_cam(view.camera)[row, col] @ view.cam_from_world[:3, :3]  # z = 1: depth is in their lengths
        hits = hit_distances(mesh, np.broadcast_to(view.center_in_world, rays.shape), rays)
        blocked += int((hits < (1 - _TOLERANCE) * depth[row, col]).sum())
        count += len(row)
    return blocked / max(count, 1)


def hit_distances(mesh: Mesh, origins: FloatArray, directions: FloatArray) -> NDArray[np.float64]:
    """(N,) distance to the first triangle along rays, in lengths of their directions (N, 3); infinite without a hit."""
    import open3d as o3d

    if len(mesh.triangles) == 0:
        return np.full(len(origins), np.inf)
    scene, origin = ray_scene(mesh)
    rays = np.hstack([np.asarray(origins, np.float64) - origin, directions]).astype(np.float32)
    return np.asarray(scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy(), np.float64)


def ray_scene(mesh: Mesh) -> tuple[Any, NDArray[np.float64]]:
    """The triangles for queries, and the point (3,) that becomes the origin."""
    import open3d as o3d

    # Open3D computes in float32: far from the origin (georeferenced scenes) its resolution would be lost.
    origin = mesh.vertices.astype(np.float64).mean(0)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy((mesh.vertices - origin).astype(np.float32)),
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.triangles, np.uint32)),
    )
    return scene, origin
