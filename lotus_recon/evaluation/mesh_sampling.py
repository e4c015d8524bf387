"""Points on meshes, and distances to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import FloatArray, Mesh


def sample_mesh(mesh: Mesh, count: int, seed: int) -> NDArray[np.float64]:
    """(N, 3) points sampled uniformly by area on a mesh, N = ``count``.

    Osada et al., "Shape distributions", 2002, eq. 1. Raises InputError when the mesh has no area.
    """
    areas = triangle_areas(mesh)
    if areas.sum() <= 0:
        raise InputError("the mesh has no area and cannot be sampled")
    random = np.random.default_rng(seed)
    corners = mesh.vertices.astype(np.float64)[mesh.triangles[random.choice(len(areas), count, p=areas / areas.sum())]]
    root, along = np.sqrt(random.random(count)), random.random(count)
    weights = np.stack([1 - root, root * (1 - along), root * along], axis=1)
    return np.asarray((corners * weights[..., None]).sum(1))


def triangle_areas(mesh: Mesh) -> NDArray[np.float64]:
    """(T,) area of each triangle."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.triangles], 1, 0)
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2)


def point_to_mesh_distance(points: FloatArray, mesh: Mesh) -> NDArray[np.float64]:
    """(N,) unsigned distance of points (N, 3) to the nearest triangle. Raises InputError when the mesh has none."""
    import open3d as o3d

    if len(mesh.triangles) == 0:
        raise InputError("cannot measure the distance to a mesh without triangles")
    scene, origin = _ray_scene(mesh)
    query = o3d.core.Tensor.from_numpy((np.asarray(points, np.float64) - origin).astype(np.float32))
    return np.asarray(scene.compute_distance(query).numpy(), np.float64)


def hit_distances(mesh: Mesh, origins: FloatArray, directions: FloatArray) -> NDArray[np.float64]:
    """(N,) distance to the first triangle along rays, in lengths of their directions (N, 3); infinite without a hit."""
    import open3d as o3d

    if len(mesh.triangles) == 0:
        return np.full(len(origins), np.inf)
    scene, origin = _ray_scene(mesh)
    rays = np.hstack([np.asarray(origins, np.float64) - origin, directions]).astype(np.float32)
    return np.asarray(scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy(), np.float64)


def _ray_scene(mesh: Mesh) -> tuple[Any, NDArray[np.float64]]:
    """The triangles for queries, and the point that becomes the origin."""
    import open3d as o3d

    # Open3D computes in float32: far from the origin (georeferenced scenes) its resolution would be lost.
    origin = mesh.vertices.astype(np.float64).mean(0)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy((mesh.vertices - origin).astype(np.float32)),
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.triangles, np.uint32)),
    )
    return scene, origin
