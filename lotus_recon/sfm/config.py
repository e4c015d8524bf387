"""Options of structure from motion and of the undistorted photos. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class AdvancedSfm:
    """Options that few need to turn, in YAML only."""

    # Final refinement of principal point, fx and fy apart: auto = where the photos constrain them.
    refine_principal_point: Literal["auto", "on", "off"] = "auto"
    # SIFT features per photo, at most (before orientations).
    max_features: int = 8192
    # Photos that each photo is compared with by retrieval (most similar ones) or sequentially (next ones).
    match_neighbors: int = 20


@dataclass(frozen=True)
class SfmConfig:
    """Cameras and sparse points from photos, or sparse points at given poses."""

    # Longer edge in pixels of the undistorted photos, and so of depth maps and views; 0 = as is.
    max_size: int = 1024
    # Longer edge in pixels at which features are found; larger photos are reduced for that.
    sfm_max_size: int = 2000

    # COLMAP camera model. auto = SIMPLE_RADIAL while mapping, OPENCV in the final refinement where the photos
    # constrain it.
    camera_model: Literal[
        "auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"
    ] = "auto"
    # Which photos share one camera: those of one resolution (auto: and of one body and focal length, where EXIF tells
    # them), of one folder and resolution, or none.
    camera_sharing: Literal["auto", "resolution", "folder", "image"] = "auto"
    # JSON with width, height, fx, fy, cx, cy in pixels (first pixel centre at 0.5), optionally COLMAP model and params.
    # Kept as given.
    intrinsics: Path | None = None
    # Focal length in pixels of the photos as given, to start from.
    focal_px: float | None = None
    # Focal length as 35 mm equivalent, in millimetres, to start from.
    focal_35mm: float | None = None
    # Horizontal field of view in degrees, to start from.
    fov_deg: float | None = None

    # Which photos are compared: auto = pairs if given, exhaustive up to 80 photos, then sequential with --ordered,
    # otherwise retrieval.
    matcher: Literal["auto", "exhaustive", "sequential", "retrieval", "pairs"] = "auto"
    # The photos are a sequence in the order of their names, such as frames of a video.
    ordered: bool = False
    # Text file with two photo names a line, separated by a tab or, if no name has one, a space.
    pairs: Path | None = None

    # incremental = photo by photo; global = all at once, faster for hundreds of photos.
    mapper: Literal["incremental", "global"] = "incremental"
    # Fail when fewer photos than this can be placed.
    min_registered: int = 2

    # Given poses: a folder with a COLMAP model (bin or txt) or a nerfstudio transforms.json. Never changed.
    poses: Path | None = None
    # Unit of the given poses; m = metres makes depth and mesh metric.
    pose_unit: Literal["unknown", "m"] = "unknown"
    # Find sparse points at given poses that come without points.
    triangulate: bool = True
    advanced: AdvancedSfm = field(default_factory=AdvancedSfm)


@dataclass(frozen=True)
class FrameConfig:
    """The world frame of a reconstruction. Given poses are never changed."""

    # Known distance that makes an unposed reconstruction metric: 'PHOTO_A,PHOTO_B=METRES' between two cameras, or a
    # YAML file with two points marked in photos (docs/formats.md).
    scale_from: str | None = None
    # Turn an unposed reconstruction so that z points up, estimated from the cameras.
    gravity: bool = False


@dataclass(frozen=True)
class UndistortConfig:
    """How undistorted photos are written."""

    # JPEG, WebP and HEIC quality in percent.
    image_quality: int = 95
