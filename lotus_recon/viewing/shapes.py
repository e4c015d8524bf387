"""The mesh and the clouds of a scene at the size of a page, as GLB."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.triangles import triangle_area_vectors, vertex_normals
from lotus_recon.io.meshes import PointCloud, read_mesh, read_points
from lotus_recon.io.textured_meshes import read_textured_glb
from lotus_recon.meshing.cleaning import at_nearest_vertices, decimated
from lotus_recon.types import Mesh, Scene, SparsePoints
from lotus_recon.viewing.glb import cloud_glb, mesh_glb, textured_glb

_TEXTURE_BYTES = 4_500_000
_MORE_FACES = 1.5  # times those asked for, that a textured mesh may have: to simplify it would tear its texture


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the scene stands: what is shown is relative to ``origin`` (3,), in world axes; ``up`` is a unit vector.

    ``gltf_from_world`` (3, 3) is the rotation that textured files, which have y up, were written with.
    """

    origin: NDArray[np.float64]
    gltf_from_world: NDArray[np.float64]

    @property
    def up(self) -> NDArray[np.float64]:
        """(3,) in world axes."""
        return self.gltf_from_world[1]


def mesh_part(mesh_path: Path, textured: Path | None, frame: Frame, most: int) -> bytes:
    """GLB of the mesh in ``mesh_path``, with the texture of ``textured`` if there is one, of some ``most`` triangles.

    Raises InputError for a file that cannot be read.
    """
    mesh = read_mesh(mesh_path)
    if textured is not None:
        page = read_textured_glb(textured)
        if len(page.triangles) <= _MORE_FACES * most:
            page = page.turned(frame.gltf_from_world.T)
            confidence, sigma = at_nearest_vertices(mesh, page.vertices)
            return textured_glb(page, confidence, frame.origin, _TEXTURE_BYTES, sigma)
    return mesh_glb(_small(mesh, most), frame.origin)


def _small(mesh: Mesh, most: int) -> Mesh:
    if len(mesh.triangles) > most:
        mesh = decimated(mesh, most)
    return (
        mesh if mesh.normals is not None else replace(mesh, normals=vertex_normals(mesh, triangle_area_vectors(mesh)))
    )


def cloud_part(path: Path, frame: Frame, most: int) -> bytes:
    """GLB of the cloud in a PLY file, thinned to ``most`` points. Raises InputError when it cannot be read."""
    cloud = read_points(path)
    keep = _some(len(cloud.points), most)
    kept = PointCloud(
        cloud.points[keep],
        None if cloud.colors is None else cloud.colors[keep],
        None if cloud.normals is None else cloud.normals[keep],
        None if cloud.confidence is None else cloud.confidence[keep],
    )
    return cloud_glb(kept, frame.origin)


def sparse_part(points: SparsePoints, frame: Frame, most: int) -> bytes:
    """GLB of sparse points, ``most`` of them."""
    keep = _some(len(points.xyz), most)
    return cloud_glb(PointCloud(points.xyz[keep].astype(np.float32), points.rgb[keep]), frame.origin)


def _some(count: int, most: int) -> NDArray[np.int64]:
    """Indices of ``most`` of ``count``, any of them as likely, the same ones every time."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def origin_of(scene: Scene) -> NDArray[np.float64]:
    """(3,) where float32 is exact enough: zero, or whole numbers near cameras that are far from it (georeferenced)."""
    centers = np.array([view.center_in_world for view in scene.views]).reshape(-1, 3)
    middle = np.median(centers, axis=0) if len(centers) else np.zeros(3)
    spread = float(np.abs(centers - middle).max(initial=0.0))
    return np.round(middle) if np.abs(middle).max() > 100 * max(spread, 1e-6) else np.zeros(3)
