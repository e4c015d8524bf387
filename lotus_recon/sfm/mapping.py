"""Poses and points from verified matches, by COLMAP's mappers, with a ladder of looser settings.

1. ``normal``: COLMAP's settings.
2. ``loose``: starts from pairs with half the baseline angle and matches, places photos with fewer matches.
3. ``loosest``: starts from a quarter of the angle, keeps points seen by two photos only, under small angles.
4. ``more features``: features of a third of the contrast, matched a second time along epipolar lines, then as 3.

The next rung is tried while photos are missing (of 20 and more: over 5 %), and its model kept when it has more photos.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap

from lotus_recon.config import Runtime
from lotus_recon.progress import report
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.features import thread_count
from lotus_recon.sfm.shots import Shot

log = logging.getLogger(__name__)

# Below this the points' depth comes from noise: what is left when photos differ by rotation only, or not at all.
MIN_MEDIAN_ANGLE_DEG = 1.0
MIN_POINTS = 20
_ENOUGH = 0.95  # share of the photos


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: options of COLMAP that differ from its defaults."""

    name: str
    pipeline: dict[str, Any]
    mapper: dict[str, Any]
    triangulation: dict[str, Any]
    more_features: bool = False


_LOOSEST: dict[str, Any] = {
    "pipeline": {"min_num_matches": 10},
    "mapper": {
        "init_min_num_inliers": 25,
        "init_min_tri_angle": 4.0,
        "abs_pose_min_num_inliers": 15,
        "abs_pose_min_inlier_ratio": 0.15,
        "filter_min_tri_angle": 0.5,
    },
    "triangulation": {"min_angle": 0.5, "ignore_two_view_tracks": False},
}
LADDER = (
    Rung("normal", {}, {}, {}),
    Rung("loose", {}, {"init_min_num_inliers": 50, "init_min_tri_angle": 8.0, "abs_pose_min_num_inliers": 20}, {}),
    Rung("loosest", **_LOOSEST),
    Rung("more features", **_LOOSEST, more_features=True),
)


def enough(registered: int, total: int) -> bool:
    """Whether a model is so complete that looser settings need not be tried."""
    return registered >= (total if total < 20 else _ENOUGH * total)


def map_photos(
    shots: Sequence[Shot], database_path: Path, rung: Rung, config: SfmConfig, runtime: Runtime
) -> pycolmap.Reconstruction | None:
    """The sound model with most photos that one rung of the ladder finds, or None."""
    pycolmap.set_random_seed(runtime.seed)
    with tempfile.TemporaryDirectory(dir=database_path.parent, prefix=".models-") as folder:
        if config.mapper == "global":
            models = _map_globally(database_path, Path(folder), runtime)
        else:
            models = _map_incrementally(shots, database_path, Path(folder), rung, runtime)
    sound = [model for _, model in sorted(models.items()) if is_sound(model)]
    return max(sound, key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)


def _map_incrementally(
    shots: Sequence[Shot], database_path: Path, folder: Path, rung: Rung, runtime: Runtime
) -> dict[int, pycolmap.Reconstruction]:
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 2
    options.extract_colors = False
    options.num_threads = thread_count(runtime)
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = runtime.seed
    options.constant_cameras = {shot.camera_number for shot in shots if shot.start.fixed}
    for part, values in (
        (options, rung.pipeline),
        (options.mapper, rung.mapper),
        (options.triangulation, rung.triangulation),
    ):
        part.mergedict(values)
    placed = 0

    def tell() -> None:
        nonlocal placed
        placed = min(placed + 1, len(shots))
        report("placing photos", placed, len(shots))

    report("placing photos", 0, len(shots))
    return dict(pycolmap.incremental_mapping(str(database_path), ".", str(folder), options, next_image_callback=tell))


def _map_globally(database_path: Path, folder: Path, runtime: Runtime) -> dict[int, pycolmap.Reconstruction]:
    """GLOMAP (Pan et al., "Global structure-from-motion revisited", ECCV 2024) on a copy: it calibrates the matches."""
    import shutil

    copy = folder / "database.db"
    shutil.copy(database_path, copy)
    calibration = pycolmap.ViewGraphCalibrationOptions()
    calibration.random_seed = runtime.seed
    pycolmap.calibrate_view_graph(str(copy), calibration)
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = options.mapper.num_threads = thread_count(runtime)
    options.random_seed = options.mapper.random_seed = runtime.seed
    options.mapper.global_positioning.random_seed = options.mapper.rotation_averaging.random_seed = runtime.seed
    options.mapper.global_positioning.use_gpu = options.mapper.bundle_adjustment.ceres.use_gpu = False
    return dict(pycolmap.global_mapping(str(copy), ".", str(folder), options))


def is_sound(model: pycolmap.Reconstruction) -> bool:
    """Whether a model has points enough, seen under angles that tell their depth."""
    if model.num_points3D() < MIN_POINTS or model.num_reg_images() < 2:
        return False
    angle = median_angle_deg(model)
    if angle < MIN_MEDIAN_ANGLE_DEG:
        log.debug("model of %d photos dropped: median angle %.2f degrees", model.num_reg_images(), angle)
    return angle >= MIN_MEDIAN_ANGLE_DEG


def median_angle_deg(model: pycolmap.Reconstruction) -> float:
    """Median over the points of the angle between the two viewing rays that are farthest apart, in degrees."""
    centers = {i: np.asarray(model.image(i).projection_center()) for i in model.reg_image_ids()}
    angles = [_widest_angle(point, centers) for point in model.points3D.values()]
    return float(np.degrees(np.median(angles))) if angles else 0.0


def _widest_angle(point: pycolmap.Point3D, centers: dict[int, Any]) -> float:
    rays = np.array([centers[element.image_id] for element in point.track.elements]) - point.xyz
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return float(np.arccos(np.clip((rays @ rays.T).min(), -1, 1)))
