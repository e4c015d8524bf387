"""Stage ``consistency``: depth maps without what other views contradict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lotus_recon.adaptation.spec import ADAPTATION
from lotus_recon.alignment.spec import ALIGNMENT
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.mvs.spec import MVS
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import Context, Cost, StageSpec, options_of

if TYPE_CHECKING:
    from lotus_recon.consistency.stage import ConsistencyResult
    from lotus_recon.scene_job import SceneJob


# The stages with depth of each view, the last and best first: what is checked here is that of the first that a job has.
DEPTH = (INTEGRATION, ADAPTATION, MVS, ALIGNMENT)


def _run(context: Context[SceneJob], out_dir: Path) -> ConsistencyResult:
    from lotus_recon.consistency import stage

    depth_dir = context.folder(context.first_of(*DEPTH))
    inputs = stage.Inputs(context[FRAME].scene, depth_dir, context.runtime)
    return stage.run(inputs, context.options(ConsistencyConfig), out_dir)


def _load(folder: Path) -> ConsistencyResult:
    from lotus_recon.consistency.stage import ConsistencyResult

    return ConsistencyResult.load(folder)


CONSISTENCY: StageSpec[SceneJob, ConsistencyResult] = StageSpec(
    name="consistency",
    summary="drops the depth that other views contradict; the rest gets a confidence",
    run=_run,
    load=_load,
    options=lambda job: options_of(job.config, ConsistencyConfig),
    reads=(FRAME, *reversed(DEPTH)),
    writes_depth=True,
    cost=lambda job: Cost(0.5, seconds_per_megapixel=0.8, disk_mb_per_megapixel=6),
)
