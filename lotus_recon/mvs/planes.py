"""Slanted planes per pixel. On a plane inverse depth is linear in the pixel, so a plane is (w, wx, wy).

w: inverse depth at the centre of its pixel; wx, wy: by how much it grows per pixel to the right and down. A plane with
unit normal n at a point z r (r the ray, z = 1 on it) has 1 / depth = n . r' / (z n . r) on the ray r'.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.types import Camera, FloatArray

_GRAZING = 0.05  # least cosine between normal and ray: beyond, a surface is as good as invisible


def planes_of(depth: FloatArray, camera: Camera, normals: FloatArray | None = None) -> NDArray[np.float32]:
    """(H, W, 3) planes with z-depth (H, W) and normals (H, W, 3); w is 0 where depth is not positive and finite.

    Without normals, or where a normal is zero, planes are parallel to the photo.
    """
    depth = np.asarray(depth, np.float64)
    known = np.isfinite(depth) & (depth > 0)
    w = np.where(known, 1 / np.where(known, depth, 1), 0)
    planes = np.zeros((*depth.shape, 3), np.float32)
    planes[..., 0] = w
    if normals is not None:
        normals = np.asarray(normals, np.float64)
        toward = -np.maximum(-(normals * rays_in_cam(camera)).sum(-1), _GRAZING)
        slanted = np.abs(normals).sum(-1) > 0
        planes[..., 1] = np.where(slanted, w * normals[..., 0] / (camera.fx * toward), 0)
        planes[..., 2] = np.where(slanted, w * normals[..., 1] / (camera.fy * toward), 0)
    return planes


def depth_of(planes: FloatArray) -> NDArray[np.float32]:
    """(H, W) z-depth; 0 where there is no plane."""
    w = planes[..., 0]
    return np.where(w > 0, 1 / np.where(w > 0, w, 1), 0).astype(np.float32)


def normals_of(planes: FloatArray, camera: Camera) -> NDArray[np.float32]:
    """(H, W, 3) unit normals facing the camera; zero where there is no plane."""
    rays = rays_in_cam(camera)
    planes = np.asarray(planes, np.float64)
    toward_x, toward_y = camera.fx * planes[..., 1], camera.fy * planes[..., 2]
    normals = -np.stack([toward_x, toward_y, planes[..., 0] - rays[..., 0] * toward_x - rays[..., 1] * toward_y], -1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    known = (planes[..., :1] > 0) & (length > 0)
    return np.where(known, normals / np.where(known, length, 1), 0).astype(np.float32)


def resized(planes: FloatArray, height: int, width: int) -> NDArray[np.float32]:
    """The planes (H, W, 3) of the nearest pixels, carried to the pixel centres of a map of another size."""
    H, W = planes.shape[:2]
    if (height, width) == (H, W):
        return np.ascontiguousarray(planes, np.float32)
    y, x = (np.arange(height) + 0.5) * H / height, (np.arange(width) + 0.5) * W / width
    row, col = y.astype(np.int64), x.astype(np.int64)
    near = np.asarray(planes, np.float32)[row[:, None], col]
    moved = near[..., 0] + near[..., 1] * (x - col - 0.5) + near[..., 2] * (y - row - 0.5)[:, None]
    w = np.where(moved > 0, moved, near[..., 0])
    return np.stack([w, near[..., 1] * W / width, near[..., 2] * H / height], axis=-1).astype(np.float32)
