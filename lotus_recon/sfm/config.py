"""Options of structure from motion, of the world frame and of the undistorted photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import Edge, Focal35mm, FocalPx, FovDeg
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedSfm(Options):
    """Options that few need to turn, in YAML only."""

    # Final refinement of principal point, fx and fy apart: auto: where the photos constrain them.
    refine_principal_point: Literal["auto", "on", "off"] = "auto"
    # Most SIFT features per photo (before orientations).
    max_features: Annotated[int, Interval(ge=1, le=1_000_000)] = 8192
    # Photos that each photo is compared with by retrieval (most similar ones) or sequentially (next ones).
    match_neighbors: Annotated[int, Interval(ge=1, le=100_000)] = 20
    # Which photos share one camera: those of one resolution (auto: and of one body and focal length, where EXIF names
    # them), of one folder and resolution, or none.
    camera_sharing: Literal["auto", "resolution", "folder", "image"] = "auto"
    # Fail when fewer photos than this are registered.
    min_registered: Annotated[int, Interval(ge=2, le=1_000_000)] = 2


@dataclass(frozen=True)
class SfmConfig(Options):
    """Cameras and sparse points from photos, or sparse points at given poses."""

    # Longer edge of the undistorted photos, and so of depth maps and views; 0: as it is.
    max_size: Edge = 1024
    # Longer edge at which features are found; larger photos are reduced for that; 0: as it is.
    sfm_max_size: Edge = 2000

    # COLMAP camera model. auto: SIMPLE_RADIAL while mapping, OPENCV in the final refinement where the photos
    # constrain it.
    camera_model: Literal[
        "auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"
    ] = "auto"
    # JSON with width, height, fx, fy, cx, cy in pixels (first pixel centre at 0.5), optionally COLMAP model and params.
    # Kept as given.
    intrinsics: Path | None = None
    # Focal length, of the photos as given, to start from.
    focal_px: FocalPx | None = None
    # Focal length as 35 mm equivalent, to start from.
    focal_35mm: Focal35mm | None = None
    # Horizontal field of view, to start from.
    fov_deg: FovDeg | None = None

    # Which photos are compared. auto: pairs if given, exhaustive up to 80 photos, then sequential with --ordered,
    # otherwise retrieval.
    matcher: Literal["auto", "exhaustive", "sequential", "retrieval", "pairs"] = "auto"
    # The photos are a sequence in the order of their names, such as frames of a video.
    ordered: bool = False
    # Text file with two photo names a line, separated by a tab or, if no name has one, a space.
    pairs: Path | None = None

    # incremental: photo by photo; global: all at once, faster for hundreds of photos.
    mapper: Literal["incremental", "global"] = "incremental"

    # Photos that match in separate groups: the name of a photo of the group to reconstruct, or a pattern of such names
    # ('b_*'). None: the group of which most photos can be registered, with a warning that names the others.
    component: str | None = None

    # Register new photos of a folder that has grown into the finished model, whose cameras and poses stay. Where that
    # cannot be done, reconstruction starts anew, with a warning that says why.
    add: bool = False

    # Given poses: a folder with a COLMAP model (bin or txt), a nerfstudio transforms.json, or a cameras.json (per frame
    # file, K, w2c). Never changed.
    poses: Path | None = None
    # Unit of the given poses; m: metres, which makes depth and mesh metric.
    pose_unit: Literal["unknown", "m"] = "unknown"
    # Find sparse points at given poses that come without points.
    triangulate: bool = True
    advanced: AdvancedSfm = field(default_factory=AdvancedSfm)


@dataclass(frozen=True)
class FrameConfig(Options):
    """The world frame of a reconstruction. Given poses are never changed."""

    # Known distance that makes an unposed reconstruction metric: 'PHOTO_A,PHOTO_B=METRES' between two cameras, or a
    # YAML file with two points marked in photos (docs/formats.md).
    scale_from: str | None = None
    # Turn an unposed reconstruction so that z points up, estimated from the cameras.
    gravity: bool = False


@dataclass(frozen=True)
class AdvancedUndistort(Options):
    """Options that few need to turn, in YAML only."""

    # JPEG, WebP and HEIC quality.
    image_quality: Annotated[int, Interval(ge=1, le=100), Unit("percent")] = 95


@dataclass(frozen=True)
class UndistortConfig(Options):
    """How undistorted photos are written."""

    advanced: AdvancedUndistort = field(default_factory=AdvancedUndistort)
