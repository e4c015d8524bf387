"""Mesh cleaning: small islands go, too many triangles are simplified, vertex normals are renewed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from lotus_recon.errors import InputError
from lotus_recon.geometry.triangles import canonical, triangle_area_vectors, vertex_normals, without_unused
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.types import BoolArray, FloatArray, IntArray, Mesh

SEEN = 0.5  # confidence from which photos show a vertex


@dataclass(frozen=True, eq=False)
class Cleaned:
    """A cleaned mesh and what was taken away."""

    mesh: Mesh
    islands_removed: int
    islands_left: int
    area: float  # in squared units of the scene
    seen_ratio: float  # share of it that photos show; the rest was filled in


def clean_mesh(mesh: Mesh, config: MeshConfig) -> Cleaned:
    """``mesh`` without what the photos are not sure of and small islands, simplified, and with vertex normals.

    The result is in canonical order: it depends only on the surface, not on the order of the vertices and triangles
    given. Raises InputError when the photos are sure of nothing.
    """
    ordered = _confident(canonical(mesh), config.min_confidence)
    area_vectors = triangle_area_vectors(ordered)
    keep, removed, left = large_islands(ordered, area_vectors, config.min_island_ratio)
    whole = without_unused(replace(ordered, triangles=ordered.triangles[keep]))
    area_vectors = area_vectors[keep]
    if config.max_triangles is not None and len(whole.triangles) > config.max_triangles:
        whole = canonical(decimated(whole, config.max_triangles))
        area_vectors = triangle_area_vectors(whole)
    with_normals = replace(whole, normals=vertex_normals(whole, area_vectors))
    areas = np.linalg.norm(area_vectors, axis=1)
    seen = np.ones(len(areas), bool) if whole.confidence is None else _least_confidence(whole) >= SEEN
    return Cleaned(with_normals, removed, left, float(areas.sum()), float(areas[seen].sum() / areas.sum()))


def _confident(mesh: Mesh, min_confidence: float) -> Mesh:
    """The triangles whose every vertex has ``min_confidence``. Raises InputError when that leaves none."""
    if mesh.confidence is None or min_confidence == 0:
        return mesh
    keep = _least_confidence(mesh) >= min_confidence
    if not keep.any():
        highest = float(mesh.confidence.max())
        raise InputError(
            f"--min-confidence {min_confidence:g} leaves no surface: its highest confidence is {highest:.3g}"
        )
    return without_unused(replace(mesh, triangles=mesh.triangles[keep]))


def _least_confidence(mesh: Mesh) -> NDArray[np.float32]:
    """(T,) of the vertices of each triangle."""
    assert mesh.confidence is not None
    return mesh.confidence[mesh.triangles].min(1)


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


def decimated(mesh: Mesh, max_triangles: int, boundary_weight: float = 1.0) -> Mesh:
    """The mesh simplified to at most ``max_triangles`` triangles; colours, confidence and sigma are carried along.

    ``boundary_weight`` is that of the borders of the surface against its inside.

    Garland and Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997. Open3D's tensor version
    loses colours, so its older one is used, which works alone and therefore always gives the same result.
    """
    import open3d

    legacy = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices.astype(np.float64)), open3d.utility.Vector3iVector(mesh.triangles)
    )
    if mesh.colors is not None:
        legacy.vertex_colors = open3d.utility.Vector3dVector(mesh.colors / 255.0)
    small = legacy.simplify_quadric_decimation(max_triangles, boundary_weight=boundary_weight)
    colors, vertices = np.asarray(small.vertex_colors), np.asarray(small.vertices).astype(np.float32)
    confidence, sigma = at_nearest_vertices(mesh, vertices)
    return Mesh(
        vertices,
        np.asarray(small.triangles).astype(np.int32),
        None if mesh.colors is None else np.clip((colors * 255).round(), 0, 255).astype(np.uint8),
        confidence=confidence,
        sigma=sigma,
    )


def at_nearest_vertices(
    mesh: Mesh, points: FloatArray
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """(N,) confidence, and sigma, of the vertex of ``mesh`` that is nearest to each of the points (N, 3)."""
    if mesh.confidence is None and mesh.sigma is None:
        return None, None
    nearest = KDTree(mesh.vertices).query(points)[1]
    confidence, sigma = (None if each is None else each[nearest] for each in (mesh.confidence, mesh.sigma))
    return confidence, sigma
