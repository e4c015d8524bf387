"""Options of the recipes: the options of their stages, together. Imports no library."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.config import Runtime
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.frames.config import FramesConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.meshing.config import MeshConfig, SurfaceConfig
from lotus_recon.models.config import PredictionConfig
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.refinement.config import RefinementConfig
from lotus_recon.reporting.config import ReportConfig
from lotus_recon.sfm.config import SfmConfig, UndistortConfig


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


@dataclass(frozen=True)
class SingleViewConfig:
    """Options of ``pipelines.single_view``."""

    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    integration: NormalIntegrationConfig = field(default_factory=NormalIntegrationConfig)
    runtime: Runtime = field(default_factory=Runtime)


@dataclass(frozen=True)
class SceneConfig:
    """What a scene is made from, and its frame."""

    # Folder with <view>.png for some or all photos, black where a photo is not to be used. None: masks/ in the photo
    # folder, if it is there.
    masks: Path | None = None
    # Known distance that makes an unposed reconstruction metric: 'PHOTO_A,PHOTO_B=METRES' between two cameras, or a
    # YAML file with two points marked in photos (docs/formats.md).
    scale_from: str | None = None
    # Turn an unposed reconstruction so that z points up, estimated from the cameras.
    gravity: bool = False


@dataclass(frozen=True)
class MultiViewConfig:
    """Options of ``pipelines.multi_view``."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    sfm: SfmConfig = field(default_factory=SfmConfig)
    undistort: UndistortConfig = field(default_factory=UndistortConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    integration: NormalIntegrationConfig = field(default_factory=NormalIntegrationConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    runtime: Runtime = field(default_factory=Runtime)
