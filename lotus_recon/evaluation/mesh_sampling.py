"""Points on meshes, and distances to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.meshing.ray_casting import ray_scene
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
    scene, origin = ray_scene(mesh)
    query = o3d.core.Tensor.from_numpy((np.asarray(points, np.float64) - origin).astype(np.float32))
    return np.asarray(scene.compute_distance(query).numpy(), np.float64)
