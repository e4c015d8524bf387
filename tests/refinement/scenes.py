"""Photos of the analytic scene, painted with a solid texture: views agree on a point to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.config import Runtime
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.maps import save_prediction
from lotus_recon.refinement.matching import Photo
from lotus_recon.refinement.stage import Inputs
from lotus_recon.types import DepthKind, DepthMap, FloatArray, Prediction, Scene, SparsePoints, View
from tests.alignment.analytic import CAMERA, true_depth, views_on_arc

SIZE = (160, 120)
_WAVES = np.random.default_rng(3).normal(size=(60, 3)) * 2 * np.pi / 0.9
_PHASES = np.random.default_rng(4).uniform(0, 2 * np.pi, 60)


def views(count: int = 5, step: float = 0.35) -> tuple[View, ...]:
    """Cameras on an arc, about five degrees apart."""
    return tuple(replace(view, camera=CAMERA.resized(*SIZE)) for view in views_on_arc(count, step))


def gray_of(view: View, depth: FloatArray | None = None, flat_left_of: float = -np.inf) -> NDArray[np.float64]:
    """(H, W) in [0, 1]; without texture where world x is below ``flat_left_of``."""
    depth = true_depth(view) if depth is None else depth
    points = transform(invert_rigid(view.cam_from_world), rays_in_cam(view.camera) * depth[..., None])
    texture = np.sin(points @ _WAVES.T + _PHASES).sum(-1) / 8
    return np.clip(0.5 + 0.2 * np.where(points[..., 0] < flat_left_of, 0.0, texture), 0, 1)


def photo(view: View, gray: FloatArray | None = None) -> Photo:
    """A photo as tensors."""
    gray = gray_of(view) if gray is None else gray
    return Photo(view, torch.from_numpy(gray.astype(np.float32)), view.camera)


def bent(view: View, amount: float) -> NDArray[np.float64]:
    """(H, W) true depth with a smooth error of up to ``amount`` in log depth."""
    height, width = view.camera.height, view.camera.width
    y, x = np.mgrid[:height, :width]
    return true_depth(view) * np.exp(amount * np.sin(2 * np.pi * x / width) * np.cos(2 * np.pi * y / height))


@dataclass(frozen=True, eq=False)
class OnDisk:
    """What the stage reads."""

    scene: Scene
    images: Path
    aligned: Path

    def inputs(self, scene: Scene | None = None, error: float = 0.03) -> Inputs:
        """With the same error for every view."""
        scene = scene or self.scene
        return Inputs(
            scene=scene,
            images_dir=self.images,
            depth_dir=self.aligned,
            relative_error={view.name: error for view in scene.views},
            scored_points=np.ones(len(scene.points.xyz), bool),
            held_out=False,
            runtime=Runtime(device="cpu"),
        )


def write(
    root: Path,
    seen: Sequence[View],
    amount: float = 0.02,
    gains: Mapping[int, float] | None = None,
    unknown: Mapping[int, NDArray[np.bool_]] | None = None,
    points: SparsePoints | None = None,
) -> OnDisk:
    """Write photos (``gains``: exposure by index) and bent depth (invalid where ``unknown``)."""
    for index, view in enumerate(seen):
        gray = np.clip(gray_of(view) * (gains or {}).get(index, 1.0), 0, 1)
        path = root / "images" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb = np.repeat(np.round(gray * 255).astype(np.uint8)[..., None], 3, axis=2)
        Image.fromarray(rgb).save(path, quality=97)
        valid = ~(unknown or {}).get(index, np.zeros(gray.shape, bool))
        depth = DepthMap(np.where(valid, bent(view, amount), 0).astype(np.float32), valid, DepthKind.SCENE)
        save_prediction(root / "aligned" / f"{view.stem}.npz", Prediction(depth, None))
    return OnDisk(Scene(tuple(seen), points or SparsePoints.empty()), root / "images", root / "aligned")
