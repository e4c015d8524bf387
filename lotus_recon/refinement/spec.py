"""Stage ``refinement``: aligned depth, refined by comparing photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT, passes_metric_depth, scored_points
from lotus_recon.models.spec import PREDICTION
from lotus_recon.refinement.config import RefinementConfig
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Needs, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.refinement.results import RefinementResult
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> RefinementResult:
    from lotus_recon.refinement import stage

    aligned = context[ALIGNMENT]
    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        images_dir=context.folder(IMAGES),
        depth_dir=aligned.folder,
        relative_error=aligned.own_errors,
        scored_points=scored_points(context),
        held_out=context.options(AlignmentConfig).holdout_strict,
        runtime=context.runtime,
        prediction_dir=context.folder(PREDICTION),
    )
    return stage.run(inputs, context.options(RefinementConfig), out_dir)


def _load(folder: Path) -> RefinementResult:
    from lotus_recon.refinement.results import RefinementResult

    return RefinementResult.load(folder)


REFINEMENT: StageSpec[SceneJob, RefinementResult] = StageSpec(
    name="refinement",
    summary="the depth near the aligned one at which other photos show the same",
    run=_run,
    load=_load,
    options=lambda job: [options_of(job.config, RefinementConfig), options_of(job.config, AlignmentConfig).holdout],
    reads=(FRAME, IMAGES, PREDICTION, ALIGNMENT),
    wanted=lambda job: options_of(job.config, RefinementConfig).refine and not passes_metric_depth(job),
    wanted_with="--refine, and no --align none",
    runtime=lambda job: ("seed",),
    needs=Needs(memory_mb=1500),
    resumable=True,
    writes_depth=True,
)
