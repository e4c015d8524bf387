"""Stage ``images``: the photos of a scene and their masks, upright and undistorted, at the size of its cameras."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from lotus_recon.errors import InputError
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import MASKS_FOLDER, Photo, read_mask, read_rgb, write_png
from lotus_recon.progress import track
from lotus_recon.sfm.config import UndistortConfig
from lotus_recon.sfm.undistortion import is_identity, undistort, undistort_mask
from lotus_recon.types import Scene, View
from lotus_recon.workspace import write_atomically

_THREADS = 4


@dataclass(frozen=True, eq=False)
class Inputs:
    """The photos, the scene whose views are wanted, and, by name, cameras and masks of the photos as given."""

    photos: Sequence[Photo]
    scene: Scene
    source_cameras: Mapping[str, SourceCamera]
    masks: Mapping[str, Path] = field(default_factory=dict)  # not black = use; views may be left out


@dataclass(frozen=True)
class ImagesResult:
    """The folder that holds one image per view, under the name of the view, and in ``masks/`` those of masked views."""

    folder: Path

    @classmethod
    def load(cls, out_dir: Path) -> ImagesResult:
        """What ``run`` wrote."""
        return cls(out_dir)

    def path(self, view: View) -> Path:
        """The image of a view."""
        return self.folder / view.name

    def mask_path(self, view: View) -> Path:
        """The mask of a view, black where it is not to be used; not there where all of it is."""
        return mask_path(self.folder, view)


def mask_path(folder: Path, view: View) -> Path:
    """Where the mask of a view is in a folder of images: where a run on these images would look for it."""
    return folder / MASKS_FOLDER / f"{view.stem}.png"


def run(inputs: Inputs, config: UndistortConfig, out_dir: Path) -> ImagesResult:
    """Write ``<name>`` into ``out_dir`` for every view, in the format of its suffix; a mask as ``masks/<stem>.png``.

    Images that exist are kept. A photo that is upright, undistorted and of the right size already is copied as it is.
    Raises InputError for a view without photo, or a photo or mask that cannot be read.
    """
    photos = {photo.name: photo for photo in inputs.photos}
    missing = [view.name for view in inputs.scene.views if view.name not in photos]
    if missing:
        raise InputError(f"no photo of view {missing[0]!r} ({len(missing)} missing)")

    def write(view: View) -> None:
        source, target = inputs.source_cameras[view.name], out_dir / view.name
        if not target.exists():
            _write_view(photos[view.name], source, view, config, target)
        if view.name in inputs.masks:
            _write_mask(inputs.masks[view.name], source, view, mask_path(out_dir, view))

    views = inputs.scene.views
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in track(pool.map(write, views), "undistorting photos", len(views)):
            pass
    return ImagesResult.load(out_dir)


def _write_view(photo: Photo, source: SourceCamera, view: View, config: UndistortConfig, target: Path) -> None:
    if is_identity(source, view.camera) and not _is_rotated(photo.path):
        write_atomically(target, lambda part: shutil.copyfile(photo.path, part))
        return
    rgb = read_rgb(photo.path)
    if rgb.shape[:2] != (source.height, source.width):
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise InputError(f"{photo.path} is {size} pixels, its camera {source.width}x{source.height}: did it change?")
    save_rgb(undistort(rgb, source, view.camera), target, config.advanced.image_quality)


def _write_mask(mask: Path, source: SourceCamera, view: View, target: Path) -> None:
    used = undistort_mask(read_mask(mask, source.width, source.height), source, view.camera)
    write_png(target, np.where(used, np.uint8(255), np.uint8(0)))


def _is_rotated(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def save_rgb(rgb: NDArray[np.uint8], target: Path, quality: int) -> None:
    """Write (H, W, 3) uint8 RGB by rename in the format of the suffix, colour at full resolution."""
    options: dict[str, Any] = {"quality": quality}
    if target.suffix.lower() in (".jpg", ".jpeg"):
        options["subsampling"] = 0
    elif target.suffix.lower() in (".heic", ".heif"):
        options["chroma"] = 444
    write_atomically(target, lambda part: Image.fromarray(rgb).save(part, **options))
