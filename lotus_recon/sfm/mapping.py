"""Poses and points from verified matches, by COLMAP's mappers."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.durable import full_disk_named
from lotus_recon.progress import report
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import TEMPORARY
from lotus_recon.sfm.features import thread_count
from lotus_recon.sfm.images import SfmImage

log = logging.getLogger(__name__)

# Below this the points' depth comes from noise: what is left when photos differ by rotation only, or not at all.
MIN_MEDIAN_ANGLE_DEG = 1.0
MIN_POINTS = 20
SNAPSHOTS = "snapshots"  # folder of the models that the mapper writes down on its way
_SNAPSHOTS_OF_A_RUN = 20


@dataclass(frozen=True)
class Settings:
    """Options of COLMAP's incremental mapper that differ from its defaults."""

    name: str
    mapper: Mapping[str, Any] = field(default_factory=dict)
    triangulation: Mapping[str, Any] = field(default_factory=dict)


def map_photos(
    images: Sequence[SfmImage], database_path: Path, settings: Settings, config: SfmConfig, runtime: Runtime
) -> pycolmap.Reconstruction | None:
    """The sound model of ``images`` with most photos found with ``settings``, or None.

    The database may hold more images. The global mapper ignores the settings.
    """
    pycolmap.set_random_seed(runtime.seed)
    with tempfile.TemporaryDirectory(dir=database_path.parent, prefix=TEMPORARY) as folder:
        if config.mapper == "global":
            fixed = all(image.prior.fixed for image in images)
            models = _map_globally(images, database_path, Path(folder), fixed, runtime)
        else:
            models = _map_incrementally(images, database_path, Path(folder), settings, runtime)
    sound = [model for _, model in sorted(models.items()) if is_sound(model)]
    return max(sound, key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)


def _map_incrementally(
    images: Sequence[SfmImage], database_path: Path, folder: Path, settings: Settings, runtime: Runtime
) -> dict[int, pycolmap.Reconstruction]:
    options = _incremental_options(images, database_path, folder, runtime)
    options.mapper.mergedict(dict(settings.mapper))
    options.triangulation.mergedict(dict(settings.triangulation))
    return _incremental_mapping(database_path, folder, options, len(images))


def go_on(
    model: pycolmap.Reconstruction, images: Sequence[SfmImage], database_path: Path, folder: Path, runtime: Runtime
) -> pycolmap.Reconstruction | None:
    """``model`` with those of ``images`` that can be registered in it; its poses and ``fixed`` cameras stay."""
    pycolmap.set_random_seed(runtime.seed)
    start = _made(folder / "start")
    model.write(str(start))
    options = _incremental_options(images, database_path, folder, runtime)
    options.fix_existing_frames = True
    options.multiple_models = False
    models = _incremental_mapping(database_path, folder, options, len(images), start)
    return max(models.values(), key=lambda found: int(found.num_reg_images()), default=None)


def _incremental_options(
    images: Sequence[SfmImage], database_path: Path, folder: Path, runtime: Runtime
) -> pycolmap.IncrementalPipelineOptions:
    options = pycolmap.IncrementalPipelineOptions()
    options.image_names = _names(images, database_path)
    options.min_model_size = 2
    options.extract_colors = False
    options.num_threads = thread_count(runtime)
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = runtime.seed
    options.constant_cameras = {image.camera_number for image in images if image.prior.fixed}
    # For those who watch (pipelines.view): what is registered so far.
    options.snapshot_path = str(_made(folder / SNAPSHOTS))
    options.snapshot_frames_freq = max(1, len(images) // _SNAPSHOTS_OF_A_RUN)
    return options


def _incremental_mapping(
    database_path: Path,
    folder: Path,
    options: pycolmap.IncrementalPipelineOptions,
    count: int,
    start: Path | None = None,
) -> dict[int, pycolmap.Reconstruction]:
    """COLMAP's incremental mapper, from nothing or from the model in ``start``, telling how many are registered."""
    registered = 0

    def tell() -> None:
        nonlocal registered
        registered = min(registered + 1, count)
        report("registering photos", registered, count)

    report("registering photos", 0, count)
    with full_disk_named(folder):
        found = pycolmap.incremental_mapping(
            str(database_path),
            ".",
            str(folder),
            options,
            input_path="" if start is None else str(start),
            next_image_callback=tell,
        )
    return dict(found)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _names(images: Sequence[SfmImage], database_path: Path) -> list[str]:
    """What the images are called in the database."""
    numbers = {image.number for image in images}
    with pycolmap.Database.open(str(database_path)) as database:
        return [entry.name for entry in database.read_all_images() if entry.image_id in numbers]


def _map_globally(
    images: Sequence[SfmImage], database_path: Path, folder: Path, fixed: bool, runtime: Runtime
) -> dict[int, pycolmap.Reconstruction]:
    """GLOMAP: Pan et al., "Global structure-from-motion revisited", ECCV 2024. ``fixed`` keeps the cameras as given.

    It runs on a copy of the database, because calibration changes cameras and matches there.
    """
    copy = folder / "database.db"
    shutil.copy(database_path, copy)
    if not fixed:
        calibration = pycolmap.ViewGraphCalibrationOptions()
        calibration.random_seed = runtime.seed
        pycolmap.calibrate_view_graph(str(copy), calibration)
    options = pycolmap.GlobalPipelineOptions()
    options.image_names = _names(images, database_path)
    options.num_threads = options.mapper.num_threads = thread_count(runtime)
    options.random_seed = options.mapper.random_seed = runtime.seed
    options.mapper.global_positioning.random_seed = options.mapper.rotation_averaging.random_seed = runtime.seed
    options.mapper.global_positioning.use_gpu = options.mapper.bundle_adjustment.ceres.use_gpu = False
    adjustment = options.mapper.bundle_adjustment
    adjustment.refine_focal_length = adjustment.refine_extra_params = not fixed
    with full_disk_named(folder):
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
