"""Options of single photos: their camera, and the size and depth range of what is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt

from lotus_recon.limits import Edge, Focal35mm, FocalPx, FovDeg
from lotus_recon.options import Options


@dataclass(frozen=True)
class CameraConfig(Options):
    """Camera of a single photo. The first that is given counts; without any, EXIF, then what depth and normals say.

    Where they do not decide, 55 degrees horizontal.
    """

    # JSON with width, height, fx, fy, cx, cy in pixels (first pixel centre at 0.5).
    intrinsics: Path | None = None
    # Focal length, of the photo as given.
    focal_px: FocalPx | None = None
    # Focal length as 35 mm equivalent.
    focal_35mm: Focal35mm | None = None
    # Horizontal field of view.
    fov_deg: FovDeg | None = None
    # Estimate what is not known of focal length and shift of the depth from the depth and normals of the photo.
    estimate_camera: bool = True


@dataclass(frozen=True)
class OutputConfig(Options):
    """What is written for a single photo."""

    # Longer edge of maps, points and mesh; larger photos are reduced; 0: as they are. Stored maps (--model precomputed)
    # are never resized.
    max_size: Edge = 1024
    # Depth range ratio z_far / z_near, where a model leaves scale and shift open and the normals do not determine them
    # (with --no-estimate-camera: always). The shape is guessed then, and the output says so.
    depth_range_ratio: Annotated[float, Gt(1)] = 2.0
