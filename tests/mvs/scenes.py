"""Photos of the analytic scene with exact surfaces, painted with a solid texture: views agree to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.config import Runtime
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.maps import save_prediction
from lotus_recon.mvs.planes import planes_of
from lotus_recon.mvs.sources import Photo, Surface
from lotus_recon.mvs.stage import Inputs
from lotus_recon.types import (
    BoolArray,
    DepthKind,
    DepthMap,
    FloatArray,
    NormalMap,
    Prediction,
    Scene,
    SparsePoints,
    View,
)
from tests.alignment.analytic import CAMERA, make_scene, true_depth, views_on_arc

SIZE = (160, 120)
MIDDLE, OTHERS = 2, (0, 1, 3, 4)
DEPTH_RANGE = (2.0, 9.0)
_WAVES = np.random.default_rng(3).normal(size=(60, 3)) * 2 * np.pi / 0.9
_PHASES = np.random.default_rng(4).uniform(0, 2 * np.pi, 60)


def views(count: int = 5, step: float = 0.35) -> tuple[View, ...]:
    """Cameras on an arc, about five degrees apart."""
    return tuple(replace(view, camera=CAMERA.resized(*SIZE)) for view in views_on_arc(count, step))


def gray_of(view: View, flat_left_of: float = -np.inf) -> NDArray[np.float64]:
    """(H, W) in [0, 1]; without texture where world x is below ``flat_left_of``."""
    points = transform(invert_rigid(view.cam_from_world), rays_in_cam(view.camera) * true_depth(view)[..., None])
    texture = np.sin(points @ _WAVES.T + _PHASES).sum(-1) / 8
    return np.clip(0.5 + 0.2 * np.where(points[..., 0] < flat_left_of, 0.0, texture), 0, 1)


def bent(view: View, amount: float) -> NDArray[np.float64]:
    """(H, W) true depth with a smooth error of up to ``amount`` in log depth."""
    height, width = view.camera.height, view.camera.width
    y, x = np.mgrid[:height, :width]
    return true_depth(view) * np.exp(amount * np.sin(2 * np.pi * x / width) * np.cos(2 * np.pi * y / height))


def sparse_points(count: int = 5) -> SparsePoints:
    """Exact sparse points of ``views(count)``, a hundred per view."""
    points = make_scene(views=count, points=100 * count).scene.points
    return replace(points, obs_xy=points.obs_xy * (np.array(SIZE) / CAMERA.size))


@dataclass(frozen=True, eq=False)
class Shot:
    """A view, its photo and its true maps."""

    view: View
    photo: Photo
    depth: NDArray[np.float64]
    normals: NDArray[np.float32]

    @property
    def surface(self) -> Surface:
        """The true surface, certain everywhere."""
        ones = np.ones(self.depth.shape, np.float32)
        return Surface(planes_of(self.depth, self.view.camera, self.normals), ones)


@cache
def shots() -> tuple[Shot, ...]:
    """Five views on an arc, 160x120, of a floor, a wall and two balls, all textured."""
    return tuple(shot(view) for view in views(5))


def shot(view: View, flat_left_of: float = -np.inf) -> Shot:
    """One view; without texture where world x is below ``flat_left_of``."""
    depth = true_depth(view)
    normals, _ = normals_from_depth(depth, np.ones(depth.shape, bool), view.camera)
    gray = gray_of(view, flat_left_of).astype(np.float32)
    return Shot(view, Photo(gray, view.camera, view.cam_from_world), depth, normals)


def middle() -> Shot:
    """The view that tests look at."""
    return shots()[MIDDLE]


def others() -> list[Shot]:
    """Those that it is compared with."""
    return [shots()[i] for i in OTHERS]


def no_starts(of: Shot) -> NDArray[np.float32]:
    """(0, H, W, 3)"""
    return np.zeros((0, *of.depth.shape, 3), np.float32)


@dataclass(frozen=True, eq=False)
class OnDisk:
    """What the stage reads: photos, aligned maps and predictions in folders."""

    scene: Scene
    root: Path

    @property
    def aligned(self) -> Path:
        """The folder of the alignment."""
        return self.root / "aligned"

    def inputs(self, scene: Scene | None = None) -> Inputs:
        """All points are scored, and the search may use them."""
        scene = scene or self.scene
        return Inputs(
            scene=scene,
            images_dir=self.root / "images",
            depth_dir=self.aligned,
            scored_points=np.ones(len(scene.points.xyz), bool),
            held_out=False,
            runtime=Runtime(device="cpu"),
            prediction_dir=self.root / "predicted",
        )


def write(
    root: Path,
    seen: Sequence[View],
    amount: float = 0.06,
    gains: Mapping[int, float] | None = None,
    masked: Mapping[int, BoolArray] | None = None,
    points: SparsePoints | None = None,
) -> OnDisk:
    """Write photos (``gains``: exposure by index), bent depth, and predictions (invalid where ``masked``)."""
    for index, view in enumerate(seen):
        write_photo(root / "images" / view.name, gray_of(view) * (gains or {}).get(index, 1.0))
        valid = ~(masked or {}).get(index, np.zeros((view.camera.height, view.camera.width), bool))
        write_aligned(root, view, bent(view, amount), valid)
        normals, known = normals_from_depth(true_depth(view), np.ones(valid.shape, bool), view.camera)
        relative = DepthMap(bent(view, amount).astype(np.float32), valid, DepthKind.SCALE_FREE)
        prediction = Prediction(relative, NormalMap(normals, known & valid))
        save_prediction(root / "predicted" / f"{view.stem}.npz", prediction)
    return OnDisk(Scene(tuple(seen), points or SparsePoints.empty()), root)


def write_photo(path: Path, gray: FloatArray) -> None:
    """Write grey values (H, W), 0 to 1, as a photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.repeat(np.round(np.clip(gray, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    Image.fromarray(rgb).save(path, quality=97)


def write_aligned(root: Path, view: View, depth: FloatArray, valid: BoolArray | None = None) -> None:
    """Write the aligned map of a view."""
    valid = np.ones(depth.shape, bool) if valid is None else valid
    values = np.where(valid, depth, 0).astype(np.float32)
    save_prediction(root / "aligned" / f"{view.stem}.npz", Prediction(DepthMap(values, valid, DepthKind.SCENE), None))
