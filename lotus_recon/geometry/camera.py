"""Pixels, rays and points of a pinhole camera. First pixel centre at (0.5, 0.5), depth is z-depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import Camera, FloatArray


def pixel_centers(height: int, width: int) -> NDArray[np.float64]:
    """(H, W, 2) x and y of every pixel centre."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y], axis=-1)


def rays_in_cam(camera: Camera) -> NDArray[np.float64]:
    """(H, W, 3) viewing rays of the pixel centres, scaled to z = 1."""
    xy = pixel_centers(camera.height, camera.width)
    x = (xy[..., 0] - camera.cx) / camera.fx
    y = (xy[..., 1] - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def unproject(depth: FloatArray, camera: Camera) -> NDArray[np.float64]:
    """(H, W, 3) points in camera axes of a z-depth map (H, W)."""
    return rays_in_cam(camera) * np.asarray(depth, np.float64)[..., None]


def project(points_in_cam: FloatArray, camera: Camera) -> NDArray[np.float64]:
    """(..., 2) pixels of points (..., 3) in camera axes. Points at or behind the camera give NaN."""
    z = np.where(points_in_cam[..., 2] > 0, points_in_cam[..., 2], np.nan)
    x = camera.fx * points_in_cam[..., 0] / z + camera.cx
    y = camera.fy * points_in_cam[..., 1] / z + camera.cy
    return np.stack([x, y], axis=-1)


def pixel_index(xy: FloatArray, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the pixels that hold the positions ``xy`` (N, 2), clipped to the image."""
    row = np.clip(np.floor(xy[:, 1]).astype(np.int64), 0, height - 1)
    col = np.clip(np.floor(xy[:, 0]).astype(np.int64), 0, width - 1)
    return row, col


def fit_longer_edge(width: int, height: int, longer_edge: int) -> tuple[int, int]:
    """(width, height) with the longer edge at most ``longer_edge`` pixels, never enlarged; 0 means as it is."""
    scale = longer_edge / max(width, height)
    if longer_edge == 0 or scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def is_resized(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether (width, height) ``size`` and ``other`` are one image at two sizes, each side rounded to whole pixels.

    Rounding moves a side of the smaller image by less than a pixel, and with it the product below by less than the
    longer edge of the larger one.
    """
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(*size, *other)
