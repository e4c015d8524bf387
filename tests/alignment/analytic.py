"""A scene with exact depth: a floor, a wall and two balls, seen from cameras on an arc, and points sampled from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import pixel_index, project, rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.types import Camera, Scene, SparsePoints, View

CAMERA = Camera.from_fov_deg(60, 96, 72)
BALLS = ((np.array([0.6, 0.2, 4.0]), 0.8), (np.array([-0.9, 0.4, 3.2]), 0.6))
FLOOR_Y, WALL_Z = 1.0, 6.0


def views_on_arc(count: int, step: float = 0.35, camera: Camera = CAMERA) -> tuple[View, ...]:
    """Cameras side by side, all looking at the middle of the scene."""
    views = []
    for i in range(count):
        center = np.array([(i - (count - 1) / 2) * step, -0.3, 0.0])
        forward = np.array([0.0, 0.3, 4.0]) - center
        forward /= np.linalg.norm(forward)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        pose[:3, 3] = -pose[:3, :3] @ center
        views.append(View(f"{i:02d}.jpg", camera, pose))
    return tuple(views)


def true_depth(view: View) -> NDArray[np.float64]:
    """(H, W) z-depth of the nearest surface on each viewing ray."""
    world_from_cam = invert_rigid(view.cam_from_world)
    rays, center = rays_in_cam(view.camera) @ world_from_cam[:3, :3].T, view.center_in_world
    with np.errstate(divide="ignore"):
        planes = [(FLOOR_Y - center[1]) / rays[..., 1], (WALL_Z - center[2]) / rays[..., 2]]
    hits = [np.where(depth > 0, depth, np.inf) for depth in planes]
    for middle, radius in BALLS:
        offset = center - middle
        a, b, c = (rays**2).sum(-1), (rays * offset).sum(-1), offset @ offset - radius**2
        root = b**2 - a * c
        near = (-b - np.sqrt(np.maximum(root, 0))) / a
        hits.append(np.where((root > 0) & (near > 0), near, np.inf))
    return np.min(hits, axis=0)


@dataclass(frozen=True, eq=False)
class Truth:
    """A scene and the exact depth of its views."""

    scene: Scene
    depths: tuple[NDArray[np.float64], ...]


def make_scene(
    views: int = 6,
    points: int = 400,
    noise_px: float = 0.0,
    blind: tuple[int, ...] = (),
    seed: int = 0,
    step: float = 0.35,
    camera: Camera = CAMERA,
) -> Truth:
    """Views with exact depth and sparse points; the views ``blind`` observe no point."""
    rng = np.random.default_rng(seed)
    posed = views_on_arc(views, step, camera)
    depths = tuple(true_depth(view) for view in posed)
    xyz = np.concatenate([_random_points(rng, v, d, points // views) for v, d in zip(posed, depths, strict=True)])
    observations = [
        _observe(view, depth, xyz, index)
        for index, (view, depth) in enumerate(zip(posed, depths, strict=True))
        if index not in blind
    ]
    point, view, xy = (np.concatenate([o[k] for o in observations]) for k in range(3))
    seen = np.bincount(point, minlength=len(xyz)) >= 2
    keep = seen[point]
    number = np.cumsum(seen) - 1
    P = int(seen.sum())
    moved = xyz[seen] * (1 + noise_px * 0.01 * rng.standard_normal((P, 1)))
    points_seen = SparsePoints(
        moved, np.zeros((P, 3), np.uint8), np.full(P, 0.5), number[point[keep]], view[keep], xy[keep]
    )
    return Truth(Scene(posed, points_seen), depths)


def _random_points(rng: np.random.Generator, view: View, depth: NDArray, count: int) -> NDArray[np.float64]:
    rows, cols = rng.integers(depth.shape[0], size=count), rng.integers(depth.shape[1], size=count)
    in_cam = rays_in_cam(view.camera)[rows, cols] * depth[rows, cols, None]
    return transform(invert_rigid(view.cam_from_world), in_cam)


def _observe(view: View, depth: NDArray, xyz: NDArray, index: int) -> tuple[NDArray, NDArray, NDArray]:
    in_cam = transform(view.cam_from_world, xyz)
    xy = project(in_cam, view.camera)
    border = (xy > 1) & (xy < np.array(view.camera.size) - 1)  # False where the projection is NaN
    inside = np.asarray(border.all(axis=1))
    row, col = pixel_index(np.where(inside[:, None], xy, 0), *depth.shape)
    visible = inside & (np.abs(depth[row, col] / in_cam[:, 2] - 1) < 0.03)
    point = np.flatnonzero(visible)
    return point, np.full(len(point), index), xy[visible]
