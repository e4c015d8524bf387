"""Triangle meshes as arrays: a defined order, areas, vertex normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import FloatArray, Mesh


def canonical(mesh: Mesh) -> Mesh:
    """The same surface in a defined order: vertices by x, y, z, triangles from their first vertex and sorted.

    Vertices at the same place are merged; triangles that have no area because of it go, and so do unused vertices.
    """
    merged_from, order = _merge_equal(mesh.vertices)
    triangles = merged_from[mesh.triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    first = triangles.argmin(1)[:, None]
    triangles = np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)
    triangles = triangles[_triangle_order(triangles, len(order))]
    colors = None if mesh.colors is None else mesh.colors[order]
    confidence = None if mesh.confidence is None else mesh.confidence[order]
    sigma = None if mesh.sigma is None else mesh.sigma[order]
    ordered = Mesh(mesh.vertices[order], triangles.astype(np.int32), colors, confidence=confidence, sigma=sigma)
    return without_unused(ordered)


def _triangle_order(triangles: NDArray[np.int64], n_vertices: int) -> NDArray[np.int64]:
    """Sorts triangles by their first, second, third vertex."""
    edge = triangles[:, 0] * n_vertices + triangles[:, 1]
    order = np.argsort(edge)
    if (np.diff(edge[order]) > 0).all():  # on most surfaces an edge with a direction belongs to one triangle
        return order
    return np.lexsort((triangles[:, 2], edge))


def _merge_equal(vertices: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(V,) index of each vertex after merging, and (M,) which vertex stands for each merged one, sorted by x, y, z."""
    order = np.lexsort(vertices.T[::-1])
    placed = vertices[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (placed[1:] != placed[:-1]).any(1)
    merged_from = np.empty(len(order), np.int64)
    merged_from[order] = np.cumsum(is_new) - 1
    return merged_from, order[is_new]


def without_unused(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no triangle uses; their order stays."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.triangles] = True
    if used.all():
        return mesh
    new_index = (np.cumsum(used) - 1).astype(np.int32)
    return Mesh(
        mesh.vertices[used],
        new_index[mesh.triangles],
        None if mesh.colors is None else mesh.colors[used],
        None if mesh.normals is None else mesh.normals[used],
        None if mesh.confidence is None else mesh.confidence[used],
        None if mesh.sigma is None else mesh.sigma[used],
    )


def vertex_normals(mesh: Mesh, area_vectors: FloatArray) -> NDArray[np.float32]:
    """(V, 3) unit vertex normals: the mean of the triangles around, weighted by area."""
    sums = [np.bincount(mesh.triangles.ravel(), np.repeat(v, 3), minlength=len(mesh.vertices)) for v in area_vectors.T]
    return normalized(np.stack(sums, axis=1)).astype(np.float32)


def triangle_area_vectors(mesh: Mesh) -> NDArray[np.float64]:
    """(T, 3) unit normal of each triangle times its area."""
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]  # (T, 3 corners, 3)
    a, b = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    vectors = np.empty_like(corners[:, 0])
    for i in range(3):  # numpy.cross takes three times as long
        j, k = (i + 1) % 3, (i + 2) % 3
        vectors[:, i] = (a[j] * b[k] - a[k] * b[j]) / 2
    return vectors
