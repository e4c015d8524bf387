"""Surfaces whose depth and normals are known at every pixel, for both camera models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import BoolArray

SIZE = 96
FOCAL_PX = 110.0
K = np.array([[FOCAL_PX, 0, SIZE / 2], [0, FOCAL_PX, SIZE / 2 - 3], [0, 0, 1]])
CAMERAS = {"perspective": K, "orthographic": None}


@dataclass(frozen=True, eq=False)
class Surface:
    normals: NDArray[np.float64]  # (H, W, 3)
    depth: NDArray[np.float64]  # (H, W)
    mask: BoolArray


def rays(camera: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(H, W, 3) with z = 1; for the orthographic camera (x, y, 0) in pixels from the middle."""
    row, col = np.mgrid[:SIZE, :SIZE] + 0.5
    if camera is None:
        return np.stack([col - SIZE / 2, row - SIZE / 2, np.zeros_like(col)], axis=-1)
    return np.stack([col, row, np.ones_like(col)], axis=-1) @ np.linalg.inv(camera).T


def plane(camera: NDArray[np.float64] | None, tilt: tuple[float, float]) -> Surface:
    """z = d + tilt . (x, y)."""
    ray = rays(camera)
    slope = ray[..., 0] * tilt[0] + ray[..., 1] * tilt[1]
    depth = 40 + slope if camera is None else 3 / (1 - slope)
    normals = np.broadcast_to(normalized(np.array([tilt[0], tilt[1], -1.0])), ray.shape)
    return Surface(normals, depth, np.ones((SIZE, SIZE), bool))


def sphere(camera: NDArray[np.float64] | None) -> Surface:
    """The cap of a ball, up to 60 degrees from its middle."""
    ray = rays(camera)
    if camera is None:
        centre, radius = np.array([0.0, 0.0, 90.0]), 45.0
        inside = radius**2 - (ray[..., :2] ** 2).sum(-1)
        depth = centre[2] - np.sqrt(np.maximum(inside, 0))
        points = np.concatenate([ray[..., :2], depth[..., None]], axis=-1)
    else:
        centre, radius = np.array([0.1, -0.1, 3.0]), 1.0
        a, b, c = (ray**2).sum(-1), ray @ centre, centre @ centre - radius**2
        inside = b**2 - a * c
        depth = (b - np.sqrt(np.maximum(inside, 0))) / a
        points = ray * depth[..., None]
    normals = normalized(points - centre)
    view = normalized(ray) if camera is not None else np.array([0.0, 0.0, 1.0])
    return Surface(normals, depth, (inside > 0) & ((normals * view).sum(-1) < -0.5))


def saddle(camera: NDArray[np.float64] | None) -> Surface:
    """z = z0 + a x y."""
    ray = rays(camera)
    x, y = ray[..., 0], ray[..., 1]
    if camera is None:
        a = 0.01
        return Surface(
            normalized(np.stack([a * y, a * x, -np.ones_like(x)], -1)), 60 + a * x * y, np.ones_like(x, bool)
        )
    a, z0 = 0.4, 3.0
    steep = a * x * y  # z = z0 + steep z^2, the nearer root
    depth = 2 * z0 / (1 + np.sqrt(1 - 4 * steep * z0))
    normals = normalized(np.stack([a * y * depth, a * x * depth, -np.ones_like(x)], -1))
    return Surface(normals, depth, np.ones_like(x, bool))


def opened_door(camera: NDArray[np.float64] | None) -> Surface:
    """Two planes side by side that meet in one point of their border only: the step grows from there both ways."""
    left, right = plane(camera, (0.0, 0.0)), plane(camera, (0.0, 0.5))
    on_right = np.broadcast_to(np.arange(SIZE) >= SIZE // 2, (SIZE, SIZE))
    return Surface(
        np.where(on_right[..., None], right.normals, left.normals),
        np.where(on_right, right.depth, left.depth),
        np.ones((SIZE, SIZE), bool),
    )


SMOOTH = {"plane": lambda camera: plane(camera, (0.4, -0.3)), "sphere": sphere, "saddle": saddle}


def noisy(normals: NDArray[np.float64], sigma_deg: float, seed: int = 0) -> NDArray[np.float64]:
    """Normals turned at random; ``sigma_deg`` is the rms angle."""
    noise = np.random.default_rng(seed).standard_normal(normals.shape) * np.radians(sigma_deg) / np.sqrt(2)
    return normalized(normals + noise - (noise * normals).sum(-1, keepdims=True) * normals)
