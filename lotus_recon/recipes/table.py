"""The stages of ``pipelines.multi_view``, of each photo of ``pipelines.single_view``, and of a video, in order.

To add a stage, write its ``StageSpec`` in its room and put its name here. Costs no import of a library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lotus_recon.adaptation.spec import ADAPTATION
from lotus_recon.alignment.spec import ALIGNMENT
from lotus_recon.calibration.spec import CALIBRATION
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.exporting.maps_spec import MAPS, PHOTO_MAPS
from lotus_recon.exporting.spec import EXPORT
from lotus_recon.frames.spec import FRAMES
from lotus_recon.fusion.backends import BACKENDS
from lotus_recon.fusion.cloud_spec import CLOUD
from lotus_recon.fusion.spec import FUSION
from lotus_recon.meshing.photo_spec import PHOTO_MESH
from lotus_recon.meshing.spec import MESH
from lotus_recon.models.photo_spec import PHOTO_PREDICTION
from lotus_recon.models.spec import PREDICTION
from lotus_recon.mvs.spec import MVS
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.recipes.config import MultiViewConfig, with_groups
from lotus_recon.reporting.spec import REPORT
from lotus_recon.sfm.spec import FRAME, IMAGES, SFM
from lotus_recon.stages import StageSpec
from lotus_recon.texturing.photo_spec import PHOTO_TEXTURE
from lotus_recon.texturing.spec import TEXTURE
from lotus_recon.uncertainty.photo_spec import PHOTO_UNCERTAINTY
from lotus_recon.uncertainty.spec import UNCERTAINTY
from lotus_recon.video.spec import FRAME_PREDICTION, STEADY
from lotus_recon.viewing.photo_spec import PHOTO_VIEW

if TYPE_CHECKING:
    from lotus_recon.photo_job import PhotoJob
    from lotus_recon.scene_job import SceneJob

MULTI_VIEW: tuple[StageSpec[SceneJob, Any], ...] = (
    FRAMES,
    SFM,
    FRAME,
    IMAGES,
    PREDICTION,
    ALIGNMENT,
    MVS,
    ADAPTATION,
    INTEGRATION,
    CONSISTENCY,
    UNCERTAINTY,
    FUSION,
    MESH,
    TEXTURE,
    CLOUD,
    MAPS,
    EXPORT,
    REPORT,
)
DEPTH_STAGES = tuple(stage.name for stage in MULTI_VIEW if stage.writes_depth)  # with maps in units of the scene
SINGLE_VIEW: tuple[StageSpec[PhotoJob, Any], ...] = (
    PHOTO_PREDICTION,
    CALIBRATION,
    PHOTO_UNCERTAINTY,
    PHOTO_MESH,
    PHOTO_TEXTURE,
    PHOTO_MAPS,
    PHOTO_VIEW,
)
# Of ``single_view`` of a video, and of a folder with --video.
VIDEO: tuple[StageSpec[SceneJob, Any], ...] = (FRAME_PREDICTION, STEADY)


def multi_view_config() -> type[MultiViewConfig]:
    """The options of ``pipelines.multi_view``: those of every stage and fusion back-end."""
    groups = [*(stage.group for stage in MULTI_VIEW), *(backend.group for backend in BACKENDS)]
    return with_groups(MultiViewConfig, [group for group in groups if group is not None])
