"""SIFT features of all photos, in the COLMAP database that the later steps read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
from numpy.typing import NDArray

from lotus_recon import threads
from lotus_recon.config import Runtime
from lotus_recon.io.images import read_mask, read_rgb, resize_rgb, write_png
from lotus_recon.progress import report
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.shots import Shot

Colors = dict[int, NDArray[np.uint8]]  # (N, 3) colour of every feature, by shot number

_PEAK_THRESHOLD = 0.02 / 3  # of the difference of Gaussians, for intensities in [0, 1] (COLMAP's default)


def thread_count(runtime: Runtime) -> int:
    """Threads for pycolmap: all (-1) or as many as this process may use; one where a run must repeat bit for bit."""
    return 1 if runtime.deterministic else threads.thread_limit() or -1


def extract_features(
    shots: Sequence[Shot],
    masks: Mapping[str, Path],
    database_path: Path,
    config: SfmConfig,
    runtime: Runtime,
    peak_factor: float = 1.0,
) -> Colors:
    """Make the database with cameras, images and features; return the colours of the features.

    Features where a mask is black are left out. ``peak_factor`` scales the contrast a feature must have. Raises
    InputError for a photo that cannot be read or a mask of another size than its photo.
    """
    database_path.unlink(missing_ok=True)
    _create_database(shots, database_path)
    options = _extraction_options(config, runtime, peak_factor)
    colors: Colors = {}
    block = 2 * threads.thread_count()
    report("finding features", 0, len(shots))
    for start in range(0, len(shots), block):
        part = shots[start : start + block]
        colors |= _extract_block(part, masks, database_path, options)
        report("finding features", start + len(part), len(shots))
    return colors


def _extraction_options(config: SfmConfig, runtime: Runtime, peak_factor: float) -> pycolmap.FeatureExtractionOptions:
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.num_threads = thread_count(runtime)
    options.max_image_size = config.sfm_max_size if config.sfm_max_size else -1
    options.sift.max_num_features = config.advanced.max_features
    options.sift.peak_threshold = _PEAK_THRESHOLD * peak_factor
    return options


def _create_database(shots: Sequence[Shot], path: Path) -> None:
    """Cameras and images, each camera a rig and each image a frame of its own (COLMAP 4 wants both)."""
    database = pycolmap.Database.open(str(path))
    for shot in {shot.camera_number: shot for shot in shots}.values():
        camera = shot.start.camera.to_colmap(shot.camera_number)
        camera.has_prior_focal_length = shot.start.has_prior
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=shot.camera_number)
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
    for shot in shots:
        image = pycolmap.Image(image_id=shot.number, camera_id=shot.camera_number, name=working_name(shot))
        database.write_image(image, use_image_id=True)
        frame = pycolmap.Frame(frame_id=shot.number, rig_id=shot.camera_number)
        frame.add_data_id(image.data_id)
        database.write_frame(frame, use_frame_id=True)
    database.close()


def working_name(shot: Shot) -> str:
    """Name of a shot while SfM runs: COLMAP's lists of pairs cannot hold names with spaces."""
    return f"{shot.number:06d}.png"


def name_images(shots: Sequence[Shot], database_path: Path) -> None:
    """Give the images of the database the names of their photos, when nothing else will be matched."""
    database = pycolmap.Database.open(str(database_path))
    for shot in shots:
        image = database.read_image(shot.number)
        image.name = shot.name
        database.update_image(image)
    database.close()


def _extract_block(
    shots: Sequence[Shot], masks: Mapping[str, Path], database_path: Path, options: pycolmap.FeatureExtractionOptions
) -> Colors:
    with tempfile.TemporaryDirectory(dir=database_path.parent, prefix=".working-") as folder:
        images, black = Path(folder, "images"), Path(folder, "masks")
        with ThreadPoolExecutor(threads.thread_count()) as pool:
            copies = list(pool.map(lambda shot: _write_working_copy(shot, images), shots))
            if masks:
                list(pool.map(lambda shot: _write_working_mask(shot, masks.get(shot.name), black), shots))
        reader = pycolmap.ImageReaderOptions()
        if black.is_dir():
            reader.mask_path = str(black)
        pycolmap.extract_features(
            str(database_path),
            str(images),
            [working_name(shot) for shot in shots],
            reader_options=reader,
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )
    database = pycolmap.Database.open(str(database_path))
    colors = {
        shot.number: _sample(rgb, database.read_keypoints(shot.number)) for shot, rgb in zip(shots, copies, strict=True)
    }
    database.close()
    return colors


def _write_working_copy(shot: Shot, images: Path) -> NDArray[np.uint8]:
    """Write the photo, upright and grey, at its working size; return the working copy in colour."""
    rgb = resize_rgb(read_rgb(shot.photo.path), *shot.working_size)
    write_png(images / working_name(shot), np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8))
    return rgb


def _write_working_mask(shot: Shot, mask_path: Path | None, masks: Path) -> None:
    """Write the mask at the working size; a photo without mask gets a white one, or COLMAP would skip it."""
    mask = np.ones((shot.height, shot.width), bool)
    if mask_path is not None:
        mask = read_mask(mask_path, shot.width, shot.height)
    small = cv2.resize(mask.astype(np.uint8) * 255, shot.working_size, interpolation=cv2.INTER_NEAREST)
    write_png(masks / f"{working_name(shot)}.png", np.asarray(small, np.uint8))


def _sample(rgb: NDArray[np.uint8], keypoints: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 3) colours at the first two columns of ``keypoints``."""
    if len(keypoints) == 0:
        return np.zeros((0, 3), np.uint8)
    col = np.clip(keypoints[:, 0].astype(int), 0, rgb.shape[1] - 1)
    row = np.clip(keypoints[:, 1].astype(int), 0, rgb.shape[0] - 1)
    return rgb[row, col]
