"""SIFT features of all photos, in the COLMAP database that the later steps read."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon import threads
from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.durable import full_disk_named
from lotus_recon.geometry.devices import pick_device
from lotus_recon.io.images import read_mask, read_rgb, resize_rgb, write_png
from lotus_recon.progress import report
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import TEMPORARY, FeatureFolder, working_name
from lotus_recon.sfm.images import SfmImage
from lotus_recon.workspace import write_atomically

log = logging.getLogger(__name__)

Colors = dict[int, NDArray[np.uint8]]  # (N, 3) colour of every feature, by image number

_PEAK_THRESHOLD = 0.02 / 3  # of the difference of Gaussians, for intensities in [0, 1] (COLMAP's default)


def thread_count(runtime: Runtime) -> int:
    """Threads for pycolmap: all (-1) or as many as this process may use; one where a run must repeat bit for bit."""
    return 1 if runtime.deterministic else threads.thread_limit() or -1


def sift_device(runtime: Runtime) -> pycolmap.Device:
    """Where features are found and matched: CUDA with a build of pycolmap for it (PyPI: pycolmap-cuda12), else the CPU.

    On CUDA features are not the same bit for bit from run to run, so ``--deterministic`` means the CPU.
    """
    if pycolmap.has_cuda and not runtime.deterministic and pick_device(runtime.device).type == "cuda":
        return pycolmap.Device.cuda
    return pycolmap.Device.cpu


def extract_features(
    folder: FeatureFolder,
    masks: Mapping[str, Path],
    config: SfmConfig,
    runtime: Runtime,
    peak_factor: float = 1.0,
) -> Colors:
    """Fill a prepared database with the features that it lacks; return their colours (N, 3).

    Features where a mask is black are left out. ``peak_factor`` scales the contrast a feature must have. Raises
    InputError for a photo that cannot be read or a mask of another size than its photo.
    """
    options = _extraction_options(config, runtime, peak_factor)
    images = folder.images
    complete = folder.colors()
    missing = [image for image in images if image.number not in complete]
    kept, block = len(images) - len(missing), 2 * threads.thread_count()
    if kept:
        log.info("the features of %d of %d photos are kept", kept, len(images))
    report("finding features", kept, len(images))
    for start in range(0, len(missing), block):
        part = missing[start : start + block]
        _extract_block(part, masks, folder, options, sift_device(runtime))
        report("finding features", kept + start + len(part), len(images))
    return folder.colors()


def _extraction_options(config: SfmConfig, runtime: Runtime, peak_factor: float) -> pycolmap.FeatureExtractionOptions:
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = sift_device(runtime) == pycolmap.Device.cuda
    options.num_threads = thread_count(runtime)
    options.max_image_size = config.sfm_max_size if config.sfm_max_size else -1
    options.sift.max_num_features = config.advanced.max_features
    options.sift.peak_threshold = _PEAK_THRESHOLD * peak_factor
    return options


def _extract_block(
    images: Sequence[SfmImage],
    masks: Mapping[str, Path],
    folder: FeatureFolder,
    options: pycolmap.FeatureExtractionOptions,
    device: pycolmap.Device,
) -> None:
    """Features and their colours of a few photos. COLMAP leaves photos alone whose features are in the database."""
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=TEMPORARY) as working:
        working_images, black = Path(working, "images"), Path(working, "masks")
        with ThreadPoolExecutor(threads.thread_count()) as pool:
            copies = list(pool.map(lambda image: _write_working_copy(image, working_images), images))
            if masks:
                list(pool.map(lambda image: _write_working_mask(image, masks.get(image.name), black), images))
        reader = pycolmap.ImageReaderOptions()
        if black.is_dir():
            reader.mask_path = str(black)
        with full_disk_named(folder.path):
            pycolmap.extract_features(
                str(folder.database),
                str(working_images),
                [working_name(image) for image in images],
                reader_options=reader,
                extraction_options=options,
                device=device,
            )
    database = pycolmap.Database.open(str(folder.database))
    for image, rgb in zip(images, copies, strict=True):
        colors = _sample(rgb, database.read_keypoints(image.number))
        write_atomically(folder.colors_file(image), functools.partial(np.save, arr=colors))
    database.close()


def _write_working_copy(image: SfmImage, folder: Path) -> NDArray[np.uint8]:
    """Write the photo, upright and grey, at its working size; return the working copy in colour."""
    rgb = resize_rgb(read_rgb(image.photo.path), *image.working_size)
    write_png(folder / working_name(image), np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8))
    return rgb


def _write_working_mask(image: SfmImage, mask_path: Path | None, masks: Path) -> None:
    """Write the mask at the working size; a photo without mask gets a white one, or COLMAP would skip it."""
    mask = np.ones((image.height, image.width), bool)
    if mask_path is not None:
        mask = read_mask(mask_path, image.width, image.height)
    small = cv2.resize(mask.astype(np.uint8) * 255, image.working_size, interpolation=cv2.INTER_NEAREST)
    write_png(masks / f"{working_name(image)}.png", np.asarray(small, np.uint8))


def _sample(rgb: NDArray[np.uint8], keypoints: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(N, 3) colours at the first two columns of ``keypoints``."""
    if len(keypoints) == 0:
        return np.zeros((0, 3), np.uint8)
    col = np.clip(keypoints[:, 0].astype(int), 0, rgb.shape[1] - 1)
    row = np.clip(keypoints[:, 1].astype(int), 0, rgb.shape[0] - 1)
    return rgb[row, col]
