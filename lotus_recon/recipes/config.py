"""Options of the recipes: the options of their stages, together. Imports no library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any

from lotus_recon.adaptation.config import AdaptationConfig
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.calibration.config import CameraConfig, OutputConfig
from lotus_recon.config import Runtime
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.exporting.config import ExportConfig
from lotus_recon.exporting.maps_config import MapFilesConfig
from lotus_recon.frames.config import FramesConfig
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.volume_config import TsdfConfig
from lotus_recon.meshing.config import MeshConfig, SurfaceConfig
from lotus_recon.models.config import PredictionConfig
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.options import Options
from lotus_recon.reporting.config import ReportConfig
from lotus_recon.sfm.config import FrameConfig, SfmConfig, UndistortConfig
from lotus_recon.texturing.config import PhotoTextureConfig, TextureConfig
from lotus_recon.viewing.config import ViewConfig


@dataclass(frozen=True)
class SceneConfig(Options):
    """What a scene is made from, beside its photos."""

    # Folder with <view>.png for some or all photos, black where a photo is not to be used. None: masks/ in the photo
    # folder, if it is there.
    masks: Path | None = None
    # Use only the photos whose names fit one of these patterns, separated by commas: 'IMG_7*.jpg,garden/*'.
    include: str | None = None
    # Leave out photos of these names: 'IMG_7*,garden/*'.
    exclude: str | None = None


@dataclass(frozen=True)
class SingleViewConfig(Options):
    """Options of ``pipelines.single_view``."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    integration: NormalIntegrationConfig = field(default_factory=NormalIntegrationConfig)
    maps: MapFilesConfig = field(default_factory=MapFilesConfig)
    texture: PhotoTextureConfig = field(default_factory=PhotoTextureConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    runtime: Runtime = field(default_factory=Runtime)


@dataclass(frozen=True)
class MultiViewConfig(Options):
    """Options of ``pipelines.multi_view``."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    sfm: SfmConfig = field(default_factory=SfmConfig)
    frame: FrameConfig = field(default_factory=FrameConfig)
    undistort: UndistortConfig = field(default_factory=UndistortConfig)
    prediction: PredictionConfig = field(default_factory=PredictionConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    mvs: MvsConfig = field(default_factory=MvsConfig)
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    integration: NormalIntegrationConfig = field(default_factory=NormalIntegrationConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    tsdf: TsdfConfig = field(default_factory=TsdfConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    maps: MapFilesConfig = field(default_factory=MapFilesConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    runtime: Runtime = field(default_factory=Runtime)


def with_groups(config_type: type[MultiViewConfig], groups: Iterable[tuple[str, type[Any]]]) -> type[MultiViewConfig]:
    """``config_type`` and the groups of options, by name and type, that it lacks: those of stages and back-ends."""
    known = {group.name for group in fields(config_type)}
    more = [(name, kind, field(default_factory=kind)) for name, kind in groups if name not in known]
    if not more:
        return config_type
    extended: type[MultiViewConfig] = make_dataclass(config_type.__name__, more, bases=(config_type,), frozen=True)
    return extended
