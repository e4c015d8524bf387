"""Stage ``integration``: depth maps whose small shapes come from the predicted normals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.adaptation.spec import ADAPTATION
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT, scored_points
from lotus_recon.errors import InputError
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.spec import PREDICTION, model_info
from lotus_recon.mvs.spec import MVS
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.normal_integration.stage import IntegratedViews
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> IntegratedViews:
    from lotus_recon.normal_integration import stage

    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        depth_dir=context.folder(context.first_of(ADAPTATION, MVS, ALIGNMENT)),
        prediction_dir=context.folder(PREDICTION),
        scored_points=scored_points(context),
        runtime=context.runtime,
    )
    return stage.run(inputs, context.options(NormalIntegrationConfig), out_dir)


def _load(folder: Path) -> IntegratedViews:
    from lotus_recon.normal_integration.stage import IntegratedViews

    return IntegratedViews.load(folder)


def _check(job: SceneJob) -> None:
    from lotus_recon.models.registry import maker_of

    if "normal" not in model_info(job).tasks:
        raise InputError(
            f"--fusion normal: {maker_of(options_of(job.config, PredictionConfig))} no normals; name a model that "
            "predicts them, DEPTH,NORMAL, or --predictions with the array normals"
        )


INTEGRATION: StageSpec[SceneJob, IntegratedViews] = StageSpec(
    name="integration",
    summary="the small shapes of the depth, from the predicted normals",
    run=_run,
    load=_load,
    options=lambda job: [
        options_of(job.config, NormalIntegrationConfig),
        options_of(job.config, AlignmentConfig).holdout,
    ],
    reads=(FRAME, PREDICTION, ALIGNMENT, MVS, ADAPTATION),
    wanted=lambda job: False,  # the fusion back-end that fuses integrated depth requires it
    wanted_with="--fusion normal",
    check=_check,
    runtime=lambda job: ("seed",),
    libraries=("pyamg",),
    resumable=True,
    writes_depth=True,
    cost=lambda job: Cost(1.0, seconds_per_megapixel=5.0, disk_mb_per_megapixel=5),
)
