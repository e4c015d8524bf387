"""The mesh that is textured: without what carries no texture, small holes closed where depth maps show a surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lotus_recon.geometry.points import in_view
from lotus_recon.geometry.triangles import triangle_area_vectors, vertex_normals, without_unused
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps
from lotus_recon.meshing.cleaning import decimated
from lotus_recon.types import FloatArray, IntArray, Mesh, View

_BOUNDARY_WEIGHT = 10.0  # of the borders of the surface in the quadric error: what is cut off shows as a ragged edge
_LEAST_AREA = 1e-6  # of the median triangle
_SHOWN = 0.5  # share of the places on a patch where depth maps must show it


def prepared(mesh: Mesh, max_faces: int) -> Mesh:
    """``mesh`` with at most ``max_faces`` triangles, none of them twice or without area, and with vertex normals."""
    if len(mesh.triangles) > max_faces:
        mesh = decimated(mesh, max_faces, _BOUNDARY_WEIGHT)
    area_vectors = triangle_area_vectors(mesh)
    area = np.linalg.norm(area_vectors, axis=1)
    keep = area > _LEAST_AREA * np.median(area)
    once = np.zeros(len(keep), bool)
    once[np.unique(np.sort(mesh.triangles, axis=1), axis=0, return_index=True)[1]] = True
    mesh = without_unused(replace(mesh, triangles=mesh.triangles[keep & once], normals=None))
    return replace(mesh, normals=vertex_normals(mesh, triangle_area_vectors(mesh)))


def with_closed_holes(
    mesh: Mesh, max_size: float, views: Sequence[View], depth_dir: Path, tolerance: float
) -> tuple[Mesh, int]:
    """``mesh`` with holes of a diameter up to ``max_size`` closed, and how many.

    Only where the depth maps show a surface as near to the patch as ``tolerance`` at most places that photos look at:
    a window is not walled up.
    """
    patches = _patches(mesh, max_size)
    if len(patches) == 0:
        return mesh, 0
    number = _pieces(patches)
    small = _diameters(mesh.vertices[patches], number)[number] <= max_size
    patches, number = patches[small], np.unique(number[small], return_inverse=True)[1]
    if len(patches) == 0:
        return mesh, 0
    centers = mesh.vertices[patches].mean(1).astype(np.float64)
    shown, looked = _shown(centers, views, depth_dir, tolerance)
    of_piece = [np.bincount(number, counts, minlength=int(number.max()) + 1) for counts in (shown, looked)]
    real = (of_piece[0] > 0) & (of_piece[0] >= _SHOWN * of_piece[1])
    turned = _facing_like(mesh, patches, number)[real[number]]
    return replace(mesh, triangles=np.concatenate([mesh.triangles, turned])), int(real.sum())


def _patches(mesh: Mesh, max_size: float) -> IntArray:
    """(P, 3) triangles between vertices of the mesh that close its holes."""
    import open3d as o3d

    tensor = o3d.t.geometry.TriangleMesh(
        o3d.core.Tensor.from_numpy(mesh.vertices), o3d.core.Tensor.from_numpy(mesh.triangles)
    )
    filled = tensor.fill_holes(max_size)
    triangles = filled.triangle.indices.numpy().astype(np.int32)
    if len(filled.vertex.positions) != len(mesh.vertices):  # patches with vertices of their own are of no use here
        return triangles[:0]
    return triangles[len(mesh.triangles) :]


def _facing_like(mesh: Mesh, patches: IntArray, number: IntArray) -> IntArray:
    """(P, 3) the patches, turned over where they face another way than the mesh around them.

    An edge between two triangles that face the same way runs once in each direction.
    """

    def directed(triangles: IntArray) -> IntArray:
        first, second = triangles.astype(np.int64), np.roll(triangles, -1, 1)
        return np.asarray(first * len(mesh.vertices) + second)

    wrong = np.isin(directed(patches), directed(mesh.triangles)).sum(1)
    right = np.isin(directed(patches[:, ::-1]), directed(mesh.triangles)).sum(1)
    turn = np.bincount(number, wrong) > np.bincount(number, right)
    return np.where(turn[number][:, None], patches[:, ::-1], patches)


def _pieces(triangles: IntArray) -> IntArray:
    """(P,) number of the connected patch of each triangle."""
    count = len(triangles)
    vertices, corner = np.unique(triangles.ravel(), return_inverse=True)
    of = sparse.coo_matrix((np.ones(3 * count), (np.repeat(np.arange(count), 3), corner)), shape=(count, len(vertices)))
    return np.asarray(connected_components(of @ of.T, directed=False)[1])


def _diameters(corners: FloatArray, number: IntArray) -> FloatArray:
    """Diagonal of the box around each numbered patch, given the corners (P, 3, 3) of the triangles."""
    low, high = np.full((int(number.max()) + 1, 3), np.inf), np.full((int(number.max()) + 1, 3), -np.inf)
    np.minimum.at(low, number, corners.min(1))
    np.maximum.at(high, number, corners.max(1))
    return np.asarray(np.linalg.norm(high - low, axis=1))


def _shown(
    points: FloatArray, views: Sequence[View], depth_dir: Path, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """(P,) views whose depth map has a surface at each point, and views that look at it or through it."""
    shown, looked = np.zeros(len(points)), np.zeros(len(points))
    maps = SceneMaps(depth_dir, ("depth",), ANY_DEPTH)
    for view in filter(maps.has, views):
        depth = maps.load(view).depth_or_zero
        inside, at, z = in_view(points, view)
        there = depth[at]
        shown[inside] += (there > 0) & (np.abs(there - z) <= tolerance)
        looked[inside] += (there > 0) & (there >= z - tolerance)
    return shown, looked
