"""Stage ``mvs``: depth by multi-view stereo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT, passes_metric_depth, scored_points
from lotus_recon.models.spec import PREDICTION
from lotus_recon.mvs.config import MvsConfig, SearchConfig
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.mvs.results import MvsResult
    from lotus_recon.scene_job import SceneJob


def _run(context: Context[SceneJob], out_dir: Path) -> MvsResult:
    from lotus_recon.mvs import stage

    config = context.options(AlignmentConfig)
    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        images_dir=context.folder(IMAGES),
        depth_dir=context.folder(ALIGNMENT),
        scored_points=scored_points(context),
        held_out=config.holdout_strict and config.holdout > 0,
        runtime=context.runtime,
        prediction_dir=context.folder(PREDICTION),
        predicted_error={
            view.name: view.median_before for view in context[ALIGNMENT].views if view.median_before is not None
        },
    )
    return stage.run(inputs, context.options(MvsConfig), out_dir)


def _load(folder: Path) -> MvsResult:
    from lotus_recon.mvs.results import MvsResult

    return MvsResult.load(folder)


def _cost(job: SceneJob) -> Cost:
    """The search takes a second per megapixel, source and round, at the size at which photos are compared."""
    options, longest = options_of(job.config, MvsConfig).advanced, options_of(job.config, SfmConfig).max_size
    search, scales = SearchConfig(), range(SearchConfig().scales)
    # Of the rounds at each scale, from the smallest, how many at full size take as long.
    first, later = (
        sum(rounds / 4**scale for rounds, scale in zip(each, reversed(scales), strict=True))
        for each in (search.rounds, search.later_rounds)
    )
    share = min(1.0, options.match_size / longest) ** 2 if options.match_size and longest else 1.0
    rounds = first + (options.passes - 1) * later
    return Cost(2.0, seconds_per_megapixel=4.0 + share * options.sources * rounds, disk_mb_per_megapixel=15)


MVS: StageSpec[SceneJob, MvsResult] = StageSpec(
    name="mvs",
    summary="the depth at which photos agree (multi-view stereo), completed by the network",
    run=_run,
    load=_load,
    options=lambda job: [
        options_of(job.config, MvsConfig),
        options_of(job.config, AlignmentConfig).holdout,
        options_of(job.config, AlignmentConfig).holdout_strict,
    ],
    reads=(FRAME, IMAGES, PREDICTION, ALIGNMENT),
    wanted=lambda job: options_of(job.config, MvsConfig).mvs and not passes_metric_depth(job),
    wanted_with="--mvs, and no --align none",
    runtime=lambda job: ("seed",),
    needs=Needs(memory_mb=1500),
    cost=_cost,
    libraries=("numba",),
    resumable=True,
    writes_depth=True,
)
