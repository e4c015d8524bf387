"""Scenes with depth known by formula, written as fusion reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.fusion.stage import Inputs
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.images import write_png
from lotus_recon.io.maps import save_arrays
from lotus_recon.types import Camera, FloatArray, Scene, SparsePoints, View

COLOR = (200, 100, 50)


def write_view(
    root: Path, view: View, depth: FloatArray, confidence: FloatArray | None = None, kind: str = "SCENE"
) -> None:
    """Depth (0 where nothing is), optional confidence and an even photo of one view."""
    extra = {} if confidence is None else {"confidence": np.asarray(confidence, np.float32)}
    save_arrays(
        root / "depth" / f"{view.stem}.npz",
        depth=np.asarray(depth, np.float32),
        depth_valid=np.asarray(depth) > 0,
        **extra,
        meta=np.array(json.dumps({"kind": kind})),
    )
    write_png(root / "images" / view.name, np.full((view.camera.height, view.camera.width, 3), COLOR, np.uint8))


def inputs(root: Path, views: Sequence[View], metric: bool = False) -> Inputs:
    """What the stage reads of the views written to ``root``."""
    return Inputs(Scene(tuple(views), SparsePoints.empty(), metric), root / "depth", root / "images")


def sphere(root: Path, n_views: int = 14, size: int = 120, radius: float = 1.0) -> Inputs:
    """A sphere at the origin, seen from all sides at 3 radii."""
    camera = Camera(size, size, size * 1.2, size * 1.2, size / 2, size / 2)
    views = []
    for i in range(n_views):
        height = 1 - (2 * i + 1) / n_views
        turn = np.pi * (1 + 5**0.5) * i
        flat = np.sqrt(1 - height**2)
        center = 3 * radius * np.array([flat * np.cos(turn), flat * np.sin(turn), height])
        views.append(View(f"{i:02}.png", camera, looking_at_origin(center)))
        write_view(root, views[-1], sphere_depth(views[-1], radius))
    return inputs(root, views)


def looking_at_origin(center: FloatArray) -> NDArray[np.float64]:
    """cam_from_world of a camera at ``center``."""
    z = -np.asarray(center, np.float64) / np.linalg.norm(center)
    x = np.cross(z, [0.3, 1.0, 0.2])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ center
    return pose


def sphere_depth(view: View, radius: float) -> NDArray[np.float64]:
    """(H, W) z-depth of a sphere at the origin, 0 beside it: the near root of |z * ray - c| = radius."""
    rays, center = rays_in_cam(view.camera), view.cam_from_world[:3, 3]
    a, b = (rays**2).sum(-1), rays @ center
    discriminant = b**2 - a * (center @ center - radius**2)
    return np.where(discriminant > 0, (b - np.sqrt(np.maximum(discriminant, 0))) / a, 0.0)


def plane_view(name: str, offset: Sequence[float] = (0, 0, 0), size: tuple[int, int] = (120, 90)) -> View:
    """A camera that looks along z from ``offset``; its principal point is not in the middle."""
    width, height = size
    pose = np.eye(4)
    pose[:3, 3] = -np.asarray(offset)
    return View(name, Camera(width, height, 150, 150, width / 2 + 3.3, height / 2 - 2.7), pose)


def plane_depth(view: View, normal: FloatArray, point: FloatArray) -> NDArray[np.float64]:
    """(H, W) z-depth of the plane through ``point`` for a camera with world axes."""
    to_point = np.asarray(point) - view.center_in_world
    return np.asarray((to_point @ normal) / (rays_in_cam(view.camera) @ normal))
