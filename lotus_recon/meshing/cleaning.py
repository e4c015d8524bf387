"""Mesh cleaning: islands, degenerate triangles, simplification, normals, and an order that is always the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import BoolArray, FloatArray, IntArray, Mesh


@dataclass(frozen=True, eq=False)
class Cleaned:
    """A cleaned mesh and what was taken away."""

    mesh: Mesh
    islands_removed: int
    islands_left: int
    area: float  # in squared units of the scene


def clean_mesh(mesh: Mesh, min_island_ratio: float, max_triangles: int | None) -> Cleaned:
    """``mesh`` without small islands, simplified, in canonical order and with vertex normals.

    The result depends only on the surface, not on the order of the vertices and triangles given.
    """
    ordered = canonical(mesh)
    area_vectors = triangle_area_vectors(ordered)
    keep, removed, left = large_islands(ordered, area_vectors, min_island_ratio)
    whole = without_unused(Mesh(ordered.vertices, ordered.triangles[keep], ordered.colors))
    area_vectors = area_vectors[keep]
    if max_triangles is not None and len(whole.triangles) > max_triangles:
        whole = canonical(decimated(whole, max_triangles))
        area_vectors = triangle_area_vectors(whole)
    with_normals = Mesh(whole.vertices, whole.triangles, whole.colors, vertex_normals(whole, area_vectors))
    return Cleaned(with_normals, removed, left, float(np.linalg.norm(area_vectors, axis=1).sum()))


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
    return without_unused(Mesh(mesh.vertices[order], triangles.astype(np.int32), colors))


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
    colors = None if mesh.colors is None else mesh.colors[used]
    normals = None if mesh.normals is None else mesh.normals[used]
    return Mesh(mesh.vertices[used], new_index[mesh.triangles], colors, normals)


def large_islands(mesh: Mesh, area_vectors: FloatArray, min_share: float) -> tuple[BoolArray, int, int]:
    """(T,) triangles of the connected pieces with ``min_share`` or more of the area (always of the largest).

    Also how many pieces that removes and how many it leaves. Every vertex must be used by a triangle.
    """
    n_pieces, piece = _pieces(mesh.triangles, len(mesh.vertices))
    areas = np.bincount(piece, np.linalg.norm(area_vectors, axis=1), minlength=n_pieces)
    large: BoolArray = areas >= min(min_share * areas.sum(), areas.max(initial=0))
    return large[piece], int((~large).sum()), int(large.sum())


def _pieces(triangles: IntArray, n_vertices: int) -> tuple[int, NDArray[np.int64]]:
    """Number of connected pieces and (T,) the piece of each triangle. Every vertex must be used."""
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    ones = np.ones(len(edges), np.int8)
    graph = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(n_vertices, n_vertices))
    n_pieces, of_vertex = connected_components(graph, directed=False)
    return int(n_pieces), of_vertex[triangles[:, 0]].astype(np.int64)


def decimated(mesh: Mesh, max_triangles: int) -> Mesh:
    """The mesh simplified to at most ``max_triangles`` triangles; colours are carried along.

    Garland and Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997. Open3D's tensor version
    loses colours, so its older one is used, which works alone and therefore always gives the same result.
    """
    import open3d

    legacy = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices.astype(np.float64)), open3d.utility.Vector3iVector(mesh.triangles)
    )
    if mesh.colors is not None:
        legacy.vertex_colors = open3d.utility.Vector3dVector(mesh.colors / 255.0)
    small = legacy.simplify_quadric_decimation(max_triangles)
    colors = np.asarray(small.vertex_colors)
    return Mesh(
        np.asarray(small.vertices).astype(np.float32),
        np.asarray(small.triangles).astype(np.int32),
        None if mesh.colors is None else np.clip((colors * 255).round(), 0, 255).astype(np.uint8),
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
