"""Vertex normals of triangle soups, smooth over small angles, and meshes without the corners that repeat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import FloatArray, Mesh

_MANY_CORNERS = 64  # where more meet, the hub of a disc or of a cone, each keeps the normal of its triangle


def corner_normals(points: FloatArray, smooth_below_deg: float) -> NDArray[np.float64]:
    """(T, 3, 3) unit normals of the corners of triangles (T, 3, 3), on the outer side of each triangle.

    Triangles that share a corner are averaged by area when the angle between them is below ``smooth_below_deg``.
    A neighbour that is wound the other way counts turned round: the sheets of a model are not always wound alike.
    """
    faces = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])  # length: twice the area
    directions = normalized(faces)
    spot = row_ids(np.round(points.reshape(-1, 3) / _weld_distance(points)))
    first, second = _pairs(spot)
    cosine = (directions[first // 3] * directions[second // 3]).sum(-1)
    near = np.abs(cosine) > np.cos(np.radians(smooth_below_deg))
    first, second, sign = first[near], second[near], np.sign(cosine[near])
    total = np.stack(
        [np.bincount(first, sign * faces[second // 3, axis], minlength=len(spot)) for axis in range(3)], axis=-1
    ).reshape(points.shape)
    smooth = normalized(total + faces[:, None])
    outside = (smooth * directions[:, None]).sum(-1, keepdims=True) > 0
    return np.where(outside, smooth, directions[:, None])


def without_repeats(
    points: FloatArray, normals: FloatArray, uv: FloatArray | None
) -> tuple[Mesh, NDArray[np.float32] | None]:
    """A mesh, and its uv (V, 2), of triangles (T, 3, ...) whose corners are merged where all values agree."""
    flat = points.reshape(-1, 3).astype(np.float32)
    columns = [np.round(flat / _weld_distance(points)), np.round(normals.reshape(-1, 3) * 500)]
    if uv is not None:
        columns.append(np.round(uv.reshape(-1, 2) * 16384))
    ids = row_ids(np.concatenate(columns, axis=1))
    _, keep, triangles = np.unique(ids, return_index=True, return_inverse=True)
    mesh = Mesh(
        flat[keep],
        triangles.reshape(-1, 3).astype(np.int32),
        normals=normals.reshape(-1, 3)[keep].astype(np.float32),
    )
    return mesh, None if uv is None else uv.reshape(-1, 2)[keep].astype(np.float32)


def row_ids(rows: FloatArray) -> NDArray[np.int64]:
    """(N,) numbers from 0, equal for equal rows (N, K) of whole numbers."""
    # A random linear hash of 64 bits: sorting rows takes ten times as long, and a collision never happens.
    factors = np.random.default_rng(0).integers(1, 2**63, rows.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = (rows.astype(np.int64).astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _weld_distance(points: FloatArray) -> float:
    return max(float(np.ptp(points.reshape(-1, 3), axis=0).max()) * 1e-5, 1e-9)


def _pairs(spot: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ordered pairs of different corners (N,) at the same spot."""
    order = np.argsort(spot, kind="stable")
    count = np.bincount(spot)
    count_of = count[spot[order]]
    start = (np.cumsum(count) - count)[spot[order]]
    paired = (count_of > 1) & (count_of <= _MANY_CORNERS)
    corners, count_of, start = order[paired], count_of[paired], start[paired]
    first = np.repeat(corners, count_of)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(count_of) - count_of, count_of)
    second = order[np.repeat(start, count_of) + offset]
    different = first != second
    return first[different], second[different]
