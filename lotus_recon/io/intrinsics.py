"""The camera of a photo whose pose is not known: from what the user says, from EXIF, or by default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import is_resized
from lotus_recon.io.images import PhotoInfo
from lotus_recon.io.metadata import DIAGONAL_35MM
from lotus_recon.limits import Focal35mm, FocalPx, FovDeg
from lotus_recon.options import Options
from lotus_recon.outside import member, number, read_json, whole
from lotus_recon.types import MAX_SIDE_PX, Camera

DEFAULT_FOV_DEG = 55.0  # horizontal; between a phone's main camera (about 65) and a 50 mm lens (40)
DEFAULT_SOURCE = f"default of {DEFAULT_FOV_DEG:g} degrees horizontal"


@dataclass(frozen=True)
class GivenIntrinsics(Options):
    """What the user says about the lens; the first that is given counts."""

    intrinsics: Path | None = None
    focal_px: FocalPx | None = None
    focal_35mm: Focal35mm | None = None
    fov_deg: FovDeg | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing is said, so that what the photo says counts."""
        return all(value is None for value in (self.intrinsics, self.focal_px, self.focal_35mm, self.fov_deg))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.intrinsics is not None:
            read_intrinsics(self.intrinsics)


def focal_px_from_35mm(focal_35mm: float, width: int, height: int) -> float:
    """Focal length in pixels of a lens with the given 35 mm equivalent in millimetres."""
    return focal_35mm * math.hypot(width, height) / DIAGONAL_35MM


def camera_of_photo(info: PhotoInfo, given: GivenIntrinsics, width: int, height: int) -> tuple[Camera, str]:
    """Camera for a photo resized to (width, height), and which source it came from.

    In this order: intrinsics file, focal length in pixels of the photo as given, its 35 mm equivalent, horizontal
    field of view, EXIF or XMP, the default of 55 degrees.

    Raises InputError when an intrinsics file is for another size.
    """
    if given.intrinsics is not None:
        return _matching(given.intrinsics, info).resized(width, height), f"intrinsics file {given.intrinsics.name}"
    focal_px, source = None, ""
    if given.focal_px is not None:
        focal_px, source = given.focal_px, "--focal-px"
    elif given.focal_35mm is not None:
        focal_px, source = focal_px_from_35mm(given.focal_35mm, info.width, info.height), "--focal-35mm"
    elif given.fov_deg is None and info.focal_35mm is not None:
        focal_px, source = focal_px_from_35mm(info.focal_35mm, info.width, info.height), info.focal_source
    if focal_px is not None:
        camera = Camera(info.width, info.height, focal_px, focal_px, info.width / 2, info.height / 2)
    else:
        fov_deg = DEFAULT_FOV_DEG if given.fov_deg is None else given.fov_deg
        source = "--fov-deg" if given.fov_deg is not None else DEFAULT_SOURCE
        camera = Camera.from_fov_deg(fov_deg, info.width, info.height)
    return camera.resized(width, height), source


def read_intrinsics(path: Path) -> Camera:
    """A camera from JSON: ``width``, ``height``, ``fx``, ``fy``, ``cx``, ``cy`` in pixels, first pixel centre at 0.5.

    Raises InputError naming the file and what is missing.
    """
    return intrinsics_from_json(read_json(path, "intrinsics file"), f"intrinsics file {path}")


def intrinsics_from_json(content: Any, where: str) -> Camera:
    """The camera that the content of such a file describes. Raises InputError as ``read_intrinsics`` does."""
    keys = ("width", "height", "fx", "fy", "cx", "cy")
    try:
        width, height = (whole(member(content, key, where), f"{where}: {key}", 1, MAX_SIDE_PX) for key in keys[:2])
        values = [number(member(content, key, where), f"{where}: {key}") for key in keys[2:]]
    except InputError as error:
        raise InputError(f"{error}; needed: JSON with the numbers {', '.join(keys)}") from None
    try:
        return Camera(width, height, *values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _matching(path: Path, info: PhotoInfo) -> Camera:
    camera = read_intrinsics(path)
    check_same_ratio(path, camera.width, camera.height, info)
    return camera.resized(info.width, info.height)


def check_same_ratio(path: Path, width: int, height: int, info: PhotoInfo) -> None:
    """Raise InputError unless the camera in file ``path`` has the ratio of the photo's sides, to a pixel."""
    if not is_resized((width, height), (info.width, info.height)):
        raise InputError(
            f"intrinsics file {path} is for {width}x{height} pixels, "
            f"the photo has {info.width}x{info.height}: the ratio of the sides must agree"
        )
