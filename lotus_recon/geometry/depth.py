"""Depth maps as arrays: disparity, edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.types import BoolArray, Camera, FloatArray


def invert(values: FloatArray, minimum: float = 1e-12) -> NDArray[np.float64]:
    """1 / values (any shape) with values below ``minimum`` raised to it: depth from disparity and back."""
    return 1.0 / np.maximum(np.asarray(values, np.float64), minimum)


def depth_edges(depth: FloatArray, valid: BoolArray, relative_jump: float) -> BoolArray:
    """(H, W) True where depth jumps by more than ``relative_jump`` of the nearer side to one of 4 neighbours.

    Compared with the slope of the surface continued from both sides, so that a steep smooth wall is not an edge: a
    jump counts by how much it exceeds the smaller of the two neighbouring steps in the same direction.
    """
    log_depth = np.log(np.where(valid & (depth > 0), depth, 1.0))
    edges = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = np.diff(log_depth, axis=axis)
        both = np.logical_and(*_pairs(valid, axis))
        step = np.where(both, step, 0.0)
        excess = np.abs(step) - np.minimum(np.abs(_shifted(step, axis, 1)), np.abs(_shifted(step, axis, -1)))
        jump = both & (excess > np.log1p(relative_jump))
        first, second = _pairs(edges, axis)
        first |= jump
        second |= jump
    return edges


def _pairs(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:
    """Views of the first and the second member of every pair of neighbours along ``axis``."""
    front: list[slice] = [slice(None)] * values.ndim
    back = list(front)
    front[axis], back[axis] = slice(None, -1), slice(1, None)
    return values[tuple(front)], values[tuple(back)]


def _shifted(values: NDArray, axis: int, by: int) -> NDArray:
    """``values`` moved by one along ``axis``, repeated at the border."""
    if values.shape[axis] < 2:
        return np.zeros_like(values)
    index = np.clip(np.arange(values.shape[axis]) + by, 0, values.shape[axis] - 1)
    return np.take(values, index, axis=axis)


def grazing(normals: FloatArray, camera: Camera, min_angle_deg: float) -> BoolArray:
    """(H, W) True where the surface is seen at less than ``min_angle_deg`` between surface and ray."""
    rays = rays_in_cam(camera)
    cosine = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    return np.asarray(cosine < np.sin(np.radians(min_angle_deg)))


def erode(valid: BoolArray, pixels: int) -> BoolArray:
    """``valid`` (H, W) without a border of ``pixels`` around everything invalid (the image border does not count)."""
    if pixels == 0:
        return valid
    return np.asarray(ndimage.binary_erosion(valid, np.ones((3, 3), bool), iterations=pixels, border_value=1))


# Shares of the pixels that count as "the nearest" and "the farthest" when a range is fixed by rule. The Lotus disparity
# checkpoints are trained on disparity normalised between these percentiles (section 5.1, truncated normalisation).
RANGE_PERCENTILES = (2.0, 98.0)


def scale_free_from_affine(
    values: FloatArray, valid: BoolArray, disparity: bool, depth_range_ratio: float, nearest: float = 0.5
) -> NDArray[np.float64]:
    """Positive depth (H, W), up to one factor, from depth or disparity (H, W) of unknown scale and shift.

    The farthest pixels (98th percentile) lie ``depth_range_ratio`` times as far as the nearest (2nd percentile), which
    are put at depth 1: that fixes the shift, which cannot be known from the map alone. A constant map becomes a plane
    at depth 1. Pixels outside the range continue it, but stay between ``nearest`` and four times the farthest depth.
    """
    low, high = np.percentile(np.asarray(values, np.float64)[valid], RANGE_PERCENTILES)
    share = (values - low) / (high - low) if high > low else np.full(values.shape, float(disparity))
    if disparity:
        inverse = 1 / depth_range_ratio + share * (1 - 1 / depth_range_ratio)
        depth = invert(inverse, minimum=1 / (4 * depth_range_ratio))
    else:
        depth = np.minimum(1 + share * (depth_range_ratio - 1), 4 * depth_range_ratio)
    return np.maximum(depth, nearest)
