"""What is left of the seams, spread over the charts on both sides until it cannot be seen.

Where no photo sees both sides of a border, nothing could be mixed there. At a vertex of the border every chart has a
colour of its own; each is changed by a function that is smooth inside the chart, makes them equal, and is small
elsewhere, so that the mean is held (as in Lempitsky and Ivanov, "Seamless mosaicing of image-based texture maps",
CVPR 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lotus_recon.texturing.charts import Charts
from lotus_recon.texturing.rendering import sampled
from lotus_recon.types import BoolArray, FloatArray

_SMOOTH = 1.0  # weight of changes that differ between neighbours
_SMALL = 0.02  # weight of changes themselves: they fade over about 1 / sqrt(_SMALL) edges
_MOST = 40.0  # grey levels of a jump; a larger one is an edge of the scene, or wrong as a whole
_ROUNDS, _TOLERANCE = 300, 1e-3


def seam_changes(charts: Charts, pages: Sequence[NDArray[np.float32]], seen: BoolArray) -> NDArray[np.float32]:
    """(N, 3) what to add to the colour at the texture vertices; pages (H, W, C) hold colours in their first channels.

    Only vertices of ``seen`` (F,) triangles meet at seams.
    """
    count = len(charts.vertex)
    used = np.zeros(count, bool)
    used[charts.triangles[seen]] = True
    one, other = _pairs(charts.vertex, used)
    if len(one) == 0:
        return np.zeros((count, 3), np.float32)
    page = np.zeros(count, np.int64)
    page[charts.triangles] = charts.page[:, None]
    color = np.zeros((count, 3), np.float32)
    for number, image in enumerate(pages):
        own = np.flatnonzero(page == number)
        color[own] = sampled(image[..., :3], charts.uv[own] - np.float32(0.5))
    jump = np.clip(color[other] - color[one], -_MOST, _MOST)
    return _solved(jump, one, other, charts)


def _pairs(vertex: NDArray[np.int32], used: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Texture vertices that are the same vertex of the mesh in several charts, two by two."""
    candidates = np.flatnonzero(used)
    order = candidates[np.argsort(vertex[candidates], kind="stable")]
    same = vertex[order[1:]] == vertex[order[:-1]]
    return order[:-1][same], order[1:][same]


def _solved(jump: FloatArray, one: NDArray[np.int64], other: NDArray[np.int64], charts: Charts) -> NDArray[np.float32]:
    """(N, 3) changes: least squares of what is left of the jumps (P, 3), of differences along edges, and of changes."""
    count = len(charts.vertex)
    difference = _differences(one, other, count)
    triangles = charts.triangles
    edges = _differences(triangles.ravel(), np.roll(triangles, -1, 1).ravel(), count)
    matrix = difference.T @ difference + _SMOOTH / 2 * edges.T @ edges + _SMALL * scipy.sparse.eye(count)
    right = difference.T @ -jump.astype(np.float64)
    preconditioner = scipy.sparse.diags(1 / matrix.diagonal())
    solved = [
        scipy.sparse.linalg.cg(matrix, right[:, k], rtol=_TOLERANCE, maxiter=_ROUNDS, M=preconditioner)[0]
        for k in range(3)
    ]
    return np.stack(solved, axis=1).astype(np.float32)


def _differences(one: NDArray, other: NDArray, count: int) -> scipy.sparse.csr_matrix:
    """(P, N) the value at ``other`` minus that at ``one``."""
    rows = np.arange(len(one))
    values = np.repeat([-1.0, 1.0], len(one))
    entries = (values, (np.concatenate([rows, rows]), np.concatenate([one, other])))
    return scipy.sparse.csr_matrix(entries, shape=(len(one), count))
