"""Options of single photos: their camera, and the size and depth range of what is written. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CameraConfig:
    """Camera of a single photo. The first that is given counts; without any, EXIF, then what depth and normals say.

    Where they do not decide, 55 degrees horizontal.
    """

    # JSON with width, height, fx, fy, cx, cy in pixels (first pixel centre at 0.5).
    intrinsics: Path | None = None
    # Focal length in pixels of the photo as given.
    focal_px: float | None = None
    # Focal length as 35 mm equivalent, in millimetres.
    focal_35mm: float | None = None
    # Horizontal field of view in degrees.
    fov_deg: float | None = None
    # Estimate what is not known of focal length and shift of the depth from the depth and normals of the photo.
    estimate_camera: bool = True


@dataclass(frozen=True)
class OutputConfig:
    """What is written for a single photo."""

    # Longer edge in pixels of maps, points and mesh; larger photos are reduced. 0 = as is. Stored maps (--model
    # precomputed) are never resized.
    max_size: int = 1024
    # Depth of the farthest over that of the nearest pixels, where a model leaves scale and shift open and the normals
    # do not tell (--no-estimate-camera: always).
    depth_range_ratio: float = 5.0
