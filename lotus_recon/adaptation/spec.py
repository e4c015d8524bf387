"""Stage ``adaptation``: the network learns the scene, and the depth of every view is made anew with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.adaptation.config import AUTO_SHARE, AdaptationConfig
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT, passes_metric_depth
from lotus_recon.errors import InputError
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.spec import PREDICTION
from lotus_recon.mvs.spec import MVS
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.adaptation.results import AdaptationResult
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> AdaptationResult:
    from lotus_recon.adaptation import stage
    from lotus_recon.alignment.control_points import held_out_points
    from lotus_recon.models.registry import options_of as model_options

    scene, prediction = context[FRAME].scene, context.options(PredictionConfig)
    config = context.options(AlignmentConfig)
    has_stereo = context.has(MVS)
    inputs = stage.Inputs(
        scene=scene,
        images_dir=context.folder(IMAGES),
        prediction_dir=context.folder(PREDICTION),
        alignment_dir=context.folder(ALIGNMENT),
        mvs_dir=context.folder(MVS) if has_stereo else None,
        status={view.name: view.status for view in context[MVS].views} if has_stereo else {},
        held_out=held_out_points(scene, config.holdout, context.runtime.seed),
        model=prediction.model,
        model_options=model_options(prediction),
        runtime=context.runtime,
        seconds_before=sum(float(info["seconds"]) for info in context.finished().values()),
    )
    return stage.run(inputs, context.options(AdaptationConfig), config, out_dir)


def _load(folder: Path) -> AdaptationResult:
    from lotus_recon.adaptation.results import AdaptationResult

    return AdaptationResult.load(folder)


def _check(job: SceneJob) -> None:
    from lotus_recon.adaptation.networks import why_not
    from lotus_recon.models.registry import options_of as model_options

    prediction = options_of(job.config, PredictionConfig)
    reason = why_not(prediction.model, model_options(prediction))
    if reason and options_of(job.config, AdaptationConfig).adapt == "on":
        raise InputError(f"--adapt on: --model {prediction.model} cannot learn: {reason}; allowed: --adapt auto, off")


def _cost(job: SceneJob) -> Cost:
    """Of nano."""
    auto = options_of(job.config, AdaptationConfig).adapt == "auto"
    share = AUTO_SHARE if auto else None
    return Cost(110.0, 1.0, 1.5, disk_mb_per_megapixel=12, most_of_before=share)


ADAPTATION: StageSpec[SceneJob, AdaptationResult] = StageSpec(
    name="adaptation",
    summary="the network learns the scene from what its photos agree on, and all depth is made anew with it",
    run=_run,
    load=_load,
    options=lambda job: [
        options_of(job.config, AdaptationConfig),
        options_of(job.config, AlignmentConfig),
        options_of(job.config, PredictionConfig),
    ],
    reads=(FRAME, IMAGES, PREDICTION, ALIGNMENT, MVS),
    wanted=lambda job: (
        options_of(job.config, AdaptationConfig).adapt != "off"
        and options_of(job.config, PredictionConfig).predictions is None
        and not passes_metric_depth(job)
    ),
    wanted_with="--adapt auto or on, a model with a network (not --predictions), and no --align none",
    check=_check,
    runtime=lambda job: ("seed", "dtype"),
    needs=Needs(memory_mb=2500),
    cost=_cost,
    libraries=("numba",),
    resumable=True,
    writes_depth=True,
)
