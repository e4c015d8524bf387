"""Images with camera priors: the photos at their working size, and what is known of their cameras beforehand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.cameras import SourceCamera, source_camera_from_json
from lotus_recon.io.images import Photo, PhotoInfo, read_info
from lotus_recon.io.intrinsics import GivenIntrinsics, camera_of_photo, check_same_ratio, intrinsics_from_json
from lotus_recon.outside import read_json
from lotus_recon.sfm.config import SfmConfig

log = logging.getLogger(__name__)

# Without any knowledge a lens of 45 degrees along the longer edge is assumed, as COLMAP does.
_DEFAULT_FOCAL_FACTOR = 1.2


@dataclass(frozen=True)
class CameraPrior:
    """Camera of an image at its working size. ``fixed``: as given; ``has_prior``: its focal length is known."""

    camera: SourceCamera
    has_prior: bool
    fixed: bool


@dataclass(frozen=True)
class SfmImage:
    """One photo. ``number`` counts from 1 in the order of names: the image id in the COLMAP database."""

    number: int
    photo: Photo
    width: int  # of the photo as given, upright, in pixels
    height: int
    camera_number: int  # the camera id in the COLMAP database
    prior: CameraPrior

    @property
    def name(self) -> str:
        """The name of the photo: its path relative to the image root, with suffix."""
        return self.photo.name

    @property
    def working_size(self) -> tuple[int, int]:
        """(width, height) at which features are found: the pixels in which SfM counts."""
        return self.prior.camera.width, self.prior.camera.height


def images_with_priors(photos: Sequence[Photo], config: SfmConfig) -> list[SfmImage]:
    """An image with its camera prior for every photo, sorted by name.

    Raises InputError for photos or intrinsics that cannot be used.
    """
    numbers: dict[tuple[object, ...], tuple[int, CameraPrior]] = {}
    images: list[SfmImage] = []
    doubted: dict[tuple[str, ...], list[str]] = {}
    for number, photo in enumerate(sorted(photos, key=lambda photo: photo.name), 1):
        info = read_info(photo.path)
        key = _sharing_key(photo, info, config)
        if key not in numbers:
            numbers[key] = (len(numbers) + 1, camera_prior(info, config))
        images.append(SfmImage(number, photo, info.width, info.height, *numbers[key]))
        if info.doubts and _given(config).is_silent:
            doubted.setdefault(info.doubts, []).append(photo.name)
    for doubts, names in doubted.items():
        log.warning("focal length of %d photos (%s, ...): %s", len(names), names[0], "; ".join(doubts))
    return images


def _given(config: SfmConfig) -> GivenIntrinsics:
    return GivenIntrinsics(config.intrinsics, config.focal_px, config.focal_35mm, config.fov_deg)


def _sharing_key(photo: Photo, info: PhotoInfo, config: SfmConfig) -> tuple[object, ...]:
    """Photos with the same key share one camera."""
    size = (info.width, info.height)
    if config.advanced.camera_sharing == "image":
        return (photo.name,)
    if config.advanced.camera_sharing == "folder":
        return (*size, str(PurePosixPath(photo.name).parent))
    if config.advanced.camera_sharing == "resolution":
        return size
    return (*size, info.focal_35mm, info.camera_model)


def camera_prior(info: PhotoInfo, config: SfmConfig) -> CameraPrior:
    """The camera to start from, at the working size.

    In this order: intrinsics file (kept fixed), focal length in pixels, as 35 mm equivalent, field of view, EXIF, 1.2 x
    the longer edge.
    """
    width, height = fit_longer_edge(info.width, info.height, config.sfm_max_size)
    if config.intrinsics is not None:
        return CameraPrior(_given_camera(config.intrinsics, info).resized(width, height), has_prior=True, fixed=True)
    given = _given(config)
    known = not given.is_silent or info.focal_35mm is not None
    # Mapping refines one focal length in most models; the working size may change the ratio by half a pixel.
    if known:
        camera, _ = camera_of_photo(info, given, width, height)
        focal = (camera.fx + camera.fy) / 2
    else:
        focal = _DEFAULT_FOCAL_FACTOR * max(width, height)
    return CameraPrior(_with_focal(mapping_model(config), focal, width, height), has_prior=known, fixed=False)


def mapping_model(config: SfmConfig) -> str:
    """The COLMAP camera model to map with."""
    return "SIMPLE_RADIAL" if config.camera_model == "auto" else config.camera_model


def _with_focal(model: str, focal: float, width: int, height: int) -> SourceCamera:
    focals = (focal,) if model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL") else (focal, focal)
    distortion = {"SIMPLE_RADIAL": 1, "RADIAL": 2, "OPENCV": 4, "OPENCV_FISHEYE": 4}.get(model, 0)
    return SourceCamera(model, width, height, (*focals, width / 2, height / 2, *[0.0] * distortion))


def _given_camera(path: Path, info: PhotoInfo) -> SourceCamera:
    """The camera of an intrinsics file at the size of the photo."""
    camera = _read_given(path)
    check_same_ratio(path, camera.width, camera.height, info)
    return camera.resized(info.width, info.height)


def _read_given(path: Path) -> SourceCamera:
    where, content = f"intrinsics file {path}", read_json(path, "intrinsics file")
    pinhole = intrinsics_from_json(content, where)
    return source_camera_from_json(content, where) if "model" in content else SourceCamera.of_pinhole(pinhole)
