"""Stage ``uncertainty``: how far the depth of every pixel may be off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.models.spec import PREDICTION
from lotus_recon.mvs.spec import MVS
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.uncertainty.results import UncertaintyResult
    from lotus_recon.uncertainty.stage import Inputs


def inputs_of(context: Context[SceneJob]) -> Inputs:
    """What the stage reads of a job."""
    from lotus_recon.alignment.control_points import held_out_points
    from lotus_recon.uncertainty.stage import Inputs

    scene = context[FRAME].scene
    aligned = context[ALIGNMENT].views
    return Inputs(
        scene=scene,
        held_out=held_out_points(scene, context.options(AlignmentConfig).holdout, context.runtime.seed),
        checked_dir=context.folder(CONSISTENCY),
        prediction_dir=context.folder(PREDICTION),
        stereo_dir=context.folder(MVS) if context.has(MVS) else None,
        aligned_dir=context.folder(ALIGNMENT),
        aligned_scale={view.name: abs(view.scale) for view in aligned if view.usable and view.scale is not None},
    )


def _run(context: Context[SceneJob], out_dir: Path) -> UncertaintyResult:
    from lotus_recon.uncertainty import stage

    return stage.run(inputs_of(context), out_dir)


def _load(folder: Path) -> UncertaintyResult:
    from lotus_recon.uncertainty.results import UncertaintyResult

    return UncertaintyResult.load(folder)


UNCERTAINTY: StageSpec[SceneJob, UncertaintyResult] = StageSpec(
    name="uncertainty",
    summary="the standard deviation of the depth of every pixel, calibrated on held-out points",
    run=_run,
    load=_load,
    options=lambda job: options_of(job.config, AlignmentConfig).holdout,
    reads=(FRAME, PREDICTION, ALIGNMENT, MVS, CONSISTENCY),
    runtime=lambda job: ("seed",),
    cost=lambda job: Cost(0.5, seconds_per_megapixel=1.0, disk_mb_per_megapixel=3),
)
