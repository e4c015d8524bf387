"""Options of structure from motion and of the undistorted photos. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class SfmConfig:
    """Cameras and sparse points from photos, or sparse points at given poses."""

    max_size: int = 1024
    """Longer edge in pixels of the undistorted photos, and so of depth maps and views; 0 = as is."""
    sfm_max_size: int = 2000
    """Longer edge in pixels at which features are found; larger photos are reduced for that."""

    camera_model: Literal[
        "auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"
    ] = "auto"
    """COLMAP camera model. auto = SIMPLE_RADIAL while mapping, OPENCV in the final refinement where the photos
    constrain it."""
    camera_sharing: Literal["auto", "resolution", "folder", "image"] = "auto"
    """Which photos share one camera: those of one resolution (auto: and of one body and focal length, where EXIF tells
    them), of one folder and resolution, or none."""
    intrinsics: Path | None = None
    """JSON with width, height, fx, fy, cx, cy in pixels (first pixel centre at 0.5), optionally model and params
    (COLMAP). Kept as given."""
    focal_px: float | None = None
    """Focal length in pixels of the photos as given, to start from."""
    focal_35mm: float | None = None
    """Focal length as 35 mm equivalent, in millimetres, to start from."""
    fov_deg: float | None = None
    """Horizontal field of view in degrees, to start from."""
    refine_principal_point: Literal["auto", "on", "off"] = "auto"
    """Final refinement of principal point, fx and fy apart: auto = where the photos constrain them."""

    max_features: int = 8192
    """SIFT features per photo, at most (before orientations)."""
    matcher: Literal["auto", "exhaustive", "sequential", "retrieval", "pairs"] = "auto"
    """Which photos are compared: auto = pairs if given, exhaustive up to 80 photos, then sequential with --ordered,
    otherwise retrieval."""
    ordered: bool = False
    """The photos are a sequence in the order of their names, such as frames of a video."""
    pairs: Path | None = None
    """Text file with two photo names a line, separated by a tab or, if no name has one, a space."""
    match_neighbors: int = 20
    """Photos that each photo is compared with by retrieval (most similar ones) or sequentially (next ones)."""

    mapper: Literal["incremental", "global"] = "incremental"
    """incremental = photo by photo; global = all at once, faster for hundreds of photos."""
    min_registered: int = 2
    """Fail when fewer photos than this can be placed."""

    poses: Path | None = None
    """Given poses: a folder with a COLMAP model (bin or txt) or a nerfstudio transforms.json. Never changed."""
    pose_unit: Literal["unknown", "m"] = "unknown"
    """Unit of the given poses; m = metres makes depth and mesh metric."""
    triangulate: bool = True
    """Find sparse points at given poses that come without points."""


@dataclass(frozen=True)
class UndistortConfig:
    """How undistorted photos are written."""

    image_quality: int = 95
    """JPEG, WebP and HEIC quality in percent."""
