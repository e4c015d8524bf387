"""Stage ``cloud``: the depth of all views as one point cloud, ``dense.ply`` in the output folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.fusion.cloud import CloudResult
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> CloudResult:
    from lotus_recon.fusion import cloud
    from lotus_recon.fusion.views import FusionViews

    fusion = context.options(FusionConfig)
    scene, depth_dir, images_dir = context[FRAME].scene, context.folder(CONSISTENCY), context.folder(IMAGES)
    views = FusionViews(scene, depth_dir, images_dir, fusion.advanced.min_fused_confidence)
    return cloud.run(views, scene.metric, context.options(CloudConfig), fusion, out_dir)


def _load(folder: Path) -> CloudResult:
    from lotus_recon.fusion.cloud import CloudResult

    return CloudResult.load(folder)


CLOUD: StageSpec[SceneJob, CloudResult] = StageSpec(
    name="cloud",
    summary="the depth of all views as one point cloud, dense.ply",
    run=_run,
    load=_load,
    options=lambda job: [
        options_of(job.config, CloudConfig),
        options_of(job.config, FusionConfig).max_depth_ratio,
        options_of(job.config, FusionConfig).crop,
        options_of(job.config, FusionConfig).advanced.min_fused_confidence,
    ],
    reads=(FRAME, IMAGES, CONSISTENCY),
    folder=lambda job: ".",
    adds_to_folder=True,
    cost=lambda job: Cost(3.0, seconds_per_megapixel=0.4, disk_mb_per_megapixel=1.5),
)
