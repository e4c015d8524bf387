"""Colours for what no photo sees: as smooth as they can be between the colours around (harmonic)."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from lotus_recon.texturing.surface import Surface
from lotus_recon.types import BoolArray, FloatArray

_ROUNDS, _TOLERANCE = 400, 1e-5


def diffused(colors: FloatArray, seen: BoolArray, surface: Surface) -> NDArray[np.float32]:
    """(V, 3) colours of the vertices: around ``seen`` (F,) triangles the mean of their ``colors`` (F, 3).

    Pieces without a seen triangle get the mean colour of all. Raises ValueError when nothing is seen.
    """
    if not seen.any():
        raise ValueError("no triangle has a colour")
    of_vertices = surface.faces_of_vertices[:, seen]
    count = np.asarray(of_vertices.sum(1)).ravel()
    known = count > 0
    vertex = (of_vertices @ colors[seen]) / np.maximum(count, 1)[:, None]
    mean = vertex[known].mean(0)
    piece = connected_components(surface.vertex_graph, directed=False)[1]
    reached = np.isin(piece, piece[known])
    vertex[~reached] = mean
    unknown = np.flatnonzero(~known & reached)
    if len(unknown):
        nearest = KDTree(surface.mesh.vertices[known]).query(surface.mesh.vertices[unknown])[1]
        vertex[unknown] = _harmonic(vertex, known, unknown, vertex[known][nearest], surface)
    return np.asarray(vertex, np.float32)


def _harmonic(
    vertex: FloatArray, known: BoolArray, unknown: NDArray[np.int64], start: FloatArray, surface: Surface
) -> FloatArray:
    """(U, 3) each the mean of its neighbours; near enough from a good start."""
    graph = surface.vertex_graph[unknown].tocsc()
    laplacian = scipy.sparse.diags(np.asarray(graph.sum(1)).ravel()) - graph[:, unknown]
    given = graph[:, np.flatnonzero(known)] @ vertex[known]
    solved = np.empty_like(start)
    for k in range(3):
        solved[:, k] = scipy.sparse.linalg.cg(laplacian, given[:, k], x0=start[:, k], rtol=_TOLERANCE, maxiter=_ROUNDS)[
            0
        ]
    return solved
