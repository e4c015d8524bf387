"""Stage ``alignment``: predicted depth at the scale of the scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.errors import InputError
from lotus_recon.models.spec import PREDICTION
from lotus_recon.sfm.config import FrameConfig, SfmConfig
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.alignment.results import AlignmentResult
    from lotus_recon.scene_job import SceneJob
    from lotus_recon.types import BoolArray


def scored_points(context: Context[SceneJob]) -> BoolArray:
    """(P,) the sparse points that the alignment held out; the others where it held out none."""
    from lotus_recon.alignment.control_points import held_out_points

    held = held_out_points(context[FRAME].scene, context.options(AlignmentConfig).holdout, context.runtime.seed)
    return held if held.any() else ~held


def passes_metric_depth(job: SceneJob) -> bool:
    """Whether metric depth, of a sensor say, is taken as it is."""
    return options_of(job.config, AlignmentConfig).align == "none"


def _run(context: Context[SceneJob], out_dir: Path) -> AlignmentResult:
    from lotus_recon.alignment import stage

    inputs = stage.Inputs(context[FRAME].scene, context.folder(PREDICTION), context.runtime)
    return stage.run(inputs, context.options(AlignmentConfig), out_dir)


def _load(folder: Path) -> AlignmentResult:
    from lotus_recon.alignment.results import AlignmentResult

    return AlignmentResult.load(folder)


def _check(job: SceneJob) -> None:
    is_metric = options_of(job.config, SfmConfig).pose_unit == "m" or options_of(job.config, FrameConfig).scale_from
    if passes_metric_depth(job) and not is_metric:
        raise InputError("--align none passes metric depth through: the poses must be metric too (--pose-unit m)")


ALIGNMENT: StageSpec[SceneJob, AlignmentResult] = StageSpec(
    name="alignment",
    summary="every depth map at the scale of the scene, and in agreement with the maps that overlap it",
    run=_run,
    load=_load,
    options=lambda job: options_of(job.config, AlignmentConfig),
    reads=(FRAME, PREDICTION),
    check=_check,
    runtime=lambda job: ("seed",),
    resumable=True,
    writes_depth=True,
    libraries=("numba",),
    cost=lambda job: Cost(1.5, seconds_per_megapixel=1.0, disk_mb_per_megapixel=3),
)
