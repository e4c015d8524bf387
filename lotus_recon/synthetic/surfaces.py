"""Where rays meet meshes, with smooth normals: what the ray renderers and the ground truth have in common (Open3D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.synthetic.shapes import joined
from lotus_recon.types import Camera, DepthKind, DepthMap, FloatArray, Mesh, NormalMap

# Near a silhouette a smooth normal may look past the camera; it is turned until its cosine with the ray is this.
_GRAZING = 1e-3
_NOTHING = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), normals=np.zeros((0, 3), np.float32))


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays met a surface. N rays, M of which hit something."""

    hit: NDArray[np.bool_]  # (N,)
    distance: NDArray[np.float64]  # (M,) in units of the ray's length
    mesh: NDArray[np.int64]  # (M,) index of the mesh
    triangle: NDArray[np.int64]  # (M,) row in the joined triangles of all meshes
    corners: NDArray[np.int64]  # (M, 3) rows of the corners in the joined vertices of all meshes
    weights: NDArray[np.float64]  # (M, 3) barycentric, of the corners
    points: NDArray[np.float64]  # (M, 3) world
    normals: NDArray[np.float64]  # (M, 3) world, unit, smooth, towards the ray's origin


class Surfaces:
    """Several meshes with vertex normals as one target for rays."""

    def __init__(self, meshes: Sequence[Mesh], threads: int = 0) -> None:
        """``threads`` per cast; 0: as many as there are cores."""
        everything = joined([_NOTHING, *meshes])
        assert everything.normals is not None  # checked by Item and Part
        self.vertices, self._normals = everything.vertices, everything.normals
        self._triangles = everything.triangles.astype(np.int64)
        self._mesh_of_triangle = np.repeat(np.arange(len(meshes)), [len(mesh.triangles) for mesh in meshes])
        self._threads = threads
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=threads)
        if len(self._triangles):
            self._scene.add_triangles(tensor(self.vertices), tensor(self._triangles.astype(np.uint32)))

    def cast(self, origins: FloatArray, directions: FloatArray) -> Hits:
        """The first surface along each ray; origins and directions (N, 3)."""
        answer = self._scene.cast_rays(_rays(origins, directions), nthreads=self._threads)
        distance = answer["t_hit"].numpy().astype(np.float64)
        hit = np.isfinite(distance)
        triangle = answer["primitive_ids"].numpy()[hit].astype(np.int64)
        uv = answer["primitive_uvs"].numpy()[hit].astype(np.float64)
        weights = np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], axis=1)
        corners = self._triangles[triangle]
        flat = answer["primitive_normals"].numpy()[hit].astype(np.float64)
        normals = _towards_origin(interpolated(self._normals, corners, weights), flat, directions[hit])
        points = origins[hit] + distance[hit, None] * directions[hit]
        mesh = self._mesh_of_triangle[triangle]
        return Hits(hit, distance[hit], mesh, triangle, corners, weights, points, normals)

    def occluded(self, origins: FloatArray, directions: FloatArray, far: float = np.inf) -> NDArray[np.bool_]:
        """(N,) bool: whether a surface lies between ``origins`` and ``origins + far * directions``, both (N, 3)."""
        occluded = self._scene.test_occlusions(_rays(origins, directions), tfar=far, nthreads=self._threads)
        return np.asarray(occluded.numpy(), bool)


def interpolated(values: NDArray[Any], corners: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, C) values of vertices (V, C) at barycentric positions."""
    return np.asarray(np.einsum("mkc,mk->mc", values[corners], weights))


def world_rays(camera: Camera, cam_from_world: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origins and directions (H*W, 3) in the world; directions have z = 1 in camera axes."""
    directions = rays_in_cam(camera).reshape(-1, 3) @ cam_from_world[:3, :3]
    origin = invert_rigid(cam_from_world)[:3, 3]
    return np.broadcast_to(origin, directions.shape), directions


def true_maps(
    hits: Hits, camera: Camera, cam_from_world: NDArray[np.float64], kind: DepthKind
) -> tuple[DepthMap, NormalMap]:
    """Depth and normals of the hits of ``world_rays``, valid at hits; ``cam_from_world`` (4, 4)."""
    shape = (camera.height, camera.width)
    valid = hits.hit.reshape(shape)
    # Rays have z = 1 in camera axes, so the distance in units of their length is the z-depth.
    depth, normals = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
    depth[valid] = hits.distance
    normals[valid] = hits.normals @ cam_from_world[:3, :3].T
    return DepthMap(depth, valid, kind), NormalMap(normals, valid)


def _towards_origin(
    smooth: NDArray[np.float64], flat: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unit smooth normals on the side of the surface that the rays come from.

    The flat normal determines that side: at a silhouette the smooth normal may face away from the origin and would be
    turned into the solid.
    """
    rays = normalized(directions)
    flat = np.where(_dot(flat, rays) > 0, -flat, flat)
    smooth = np.where(_dot(smooth, flat) < 0, -smooth, smooth)
    length = np.linalg.norm(smooth, axis=-1, keepdims=True)
    smooth = np.where(length > 1e-6, smooth / np.maximum(length, 1e-6), flat)
    past = np.maximum(_dot(smooth, rays) + _GRAZING, 0)
    return normalized(smooth - past * rays)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("mc,mc->m", a, b))[:, None]


def _rays(origins: FloatArray, directions: FloatArray) -> Any:
    return tensor(np.concatenate([origins, directions], axis=1))


def tensor(values: NDArray) -> Any:
    """An Open3D tensor of ``values`` (any shape): float32 for floats, otherwise of their type."""
    kind = np.float32 if values.dtype.kind == "f" else values.dtype
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(values, kind))
