"""Cut-outs as geometry: where a picture is transparent, games show nothing; here there is nothing.

A triangle with such a picture is replaced by small triangles that cover its opaque part. All renderers, the truth and
the mesh then agree without knowing of transparency.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

_CELLS = 96  # along one repetition of the picture
_MOST_CELLS = 512
_LARGEST_SPAN = 16.0  # repetitions along a triangle; more are left out
_OPAQUE = 128
_LEAST_TRANSPARENT = 0.02  # share of a picture that makes it a cut-out
_MOST_TRANSPARENT = 0.97
_TOLERANCE = 0.7  # cells by which the outline is simplified

# Corners of triangles as barycentric weights (K, 3, 3), by the texture coordinates that they were made for.
_Pieces = dict[bytes, NDArray[np.float64]]


def is_cut_out(rgba: NDArray[np.uint8]) -> bool:
    """Whether a picture (h, w, 4) has holes; of one that is all hole games use the opacity for something else."""
    return _LEAST_TRANSPARENT < float((rgba[..., 3] < _OPAQUE).mean()) < _MOST_TRANSPARENT


def cut_out(
    points: NDArray[np.float32], uv: NDArray[np.float32], opacity: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The opaque parts of triangles: points (T, 3, 3), v-up ``uv`` (T, 3, 2), ``opacity`` (h, w) first row on top.

    Returns points and uv of the triangles that are left, in the same form.
    """
    known: _Pieces = {}
    points_left, uv_left = [np.zeros((0, 3, 3))], [np.zeros((0, 3, 2))]
    for corners, place in zip(points, uv, strict=True):
        place = place - np.floor(place.min(0))
        key = np.round(place * 512).astype(np.int64).tobytes()
        if key not in known:
            known[key] = _pieces(place.astype(np.float64), opacity)
        points_left.append(known[key] @ corners)
        uv_left.append(known[key] @ place)
    return np.concatenate(points_left).astype(np.float32), np.concatenate(uv_left).astype(np.float32)


def _pieces(uv: NDArray[np.float64], opacity: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(K, 3, 3) weights of the corners of small triangles that cover what is opaque in the triangle ``uv`` (3, 2)."""
    nothing = np.zeros((0, 3, 3))
    low, span = uv.min(0), np.ptp(uv, axis=0)
    base = np.array([uv[1] - uv[0], uv[2] - uv[0]])
    if span.max() > _LARGEST_SPAN or abs(np.linalg.det(base)) < 1e-9:
        return nothing
    cells = np.clip(np.ceil(span * _CELLS), 8, _MOST_CELLS).astype(int)
    outline = low + _outline(low, span, cells, opacity) / cells * span
    weights = _weights(outline, uv, base)
    spots = np.concatenate([weights[(weights >= 0).all(1)], _on_edges()])
    try:
        triangles = spots[Delaunay(spots[:, 1:]).simplices]
    except QhullError:
        return nothing
    middles = triangles.mean(1) @ uv
    return triangles[_is_opaque(middles, opacity)]


def _outline(
    low: NDArray[np.float64], span: NDArray[np.float64], cells: NDArray[np.int64], opacity: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """(N, 2) points along the edge of what is opaque, in cells from ``low``."""
    u, v = ((np.arange(count) + 0.5) / count for count in cells)
    grid = low + np.stack(np.meshgrid(u, v), axis=-1) * span
    mask = _is_opaque(grid.reshape(-1, 2), opacity).reshape(grid.shape[:2]).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    simple = [cv2.approxPolyDP(contour, _TOLERANCE, closed=True).reshape(-1, 2) for contour in contours]
    return np.concatenate([np.zeros((0, 2)), *simple]) + 0.5


def _on_edges() -> NDArray[np.float64]:
    """(N, 3) weights of points along the edges of a triangle."""
    steps = np.linspace(0, 1, 7)[:-1, None]
    ends = np.eye(3)
    return np.concatenate([(1 - steps) * ends[i] + steps * ends[(i + 1) % 3] for i in range(3)])


def _weights(points: NDArray[np.float64], uv: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    along = (points - uv[0]) @ np.linalg.inv(base)
    return np.concatenate([1 - along.sum(1, keepdims=True), along], axis=1)


def _is_opaque(uv: NDArray[np.float64], opacity: NDArray[np.uint8]) -> NDArray[np.bool_]:
    height, width = opacity.shape
    column = (uv[:, 0] % 1.0 * width).astype(int) % width
    row = ((1 - uv[:, 1]) % 1.0 * height).astype(int) % height
    return opacity[row, column] >= _OPAQUE
