"""Normal maps as arrays. Unit length, OpenCV camera axes, facing the camera (n . ray < 0)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam, unproject
from lotus_recon.types import BoolArray, Camera, FloatArray


def normalized(vectors: FloatArray, axis: int = -1) -> NDArray[np.float64]:
    """Vectors (any shape) scaled to unit length along ``axis``; vectors shorter than 1e-12 become zero."""
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=axis, keepdims=True)
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), 0.0)


def facing_camera(normals: FloatArray, camera: Camera) -> NDArray[np.float64]:
    """Normals (H, W, 3) with those that look away from the camera turned round."""
    away = (normals * rays_in_cam(camera)).sum(-1, keepdims=True) > 0
    return np.where(away, -normals, normals)


def normals_from_depth(depth: FloatArray, valid: BoolArray, camera: Camera) -> tuple[NDArray[np.float32], BoolArray]:
    """Normals (H, W, 3) of a z-depth map and where they are known: cross product of one-sided differences.

    On each axis the side with the smaller depth step is used, so that normals beside a depth edge belong to their own
    surface.
    """
    points = unproject(np.where(valid, depth, 1.0), camera)
    horizontal, known_h = _nearer_difference(points, valid, axis=1)
    vertical, known_v = _nearer_difference(points, valid, axis=0)
    normals = normalized(np.cross(vertical, horizontal))
    known = valid & known_h & known_v & (np.abs(normals).sum(-1) > 0)
    return facing_camera(normals, camera).astype(np.float32), known


def _nearer_difference(points: FloatArray, valid: BoolArray, axis: int) -> tuple[NDArray[np.float64], BoolArray]:
    """Difference to the next or the previous pixel along ``axis``, whichever changes z less, and where one exists."""
    points, valid = np.moveaxis(points, axis, 0), np.moveaxis(valid, axis, 0)
    step = np.diff(points, axis=0)
    usable = valid[1:] & valid[:-1]
    size = np.where(usable, np.abs(step[..., 2]), np.inf)
    none = np.full((1, *size.shape[1:]), np.inf)
    zero = np.zeros((1, *step.shape[1:]))
    ahead, ahead_size = np.concatenate([step, zero]), np.concatenate([size, none])
    behind, behind_size = np.concatenate([zero, step]), np.concatenate([none, size])
    best = np.where((ahead_size <= behind_size)[..., None], ahead, behind)
    known = np.isfinite(np.minimum(ahead_size, behind_size))
    return np.moveaxis(best, 0, axis), np.moveaxis(known, 0, axis)


def angle_deg(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """Angle in degrees between unit vectors (..., 3), exact for small angles (atan2, not arccos)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))
