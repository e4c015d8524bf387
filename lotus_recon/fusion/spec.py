"""Stage ``fusion``: one mesh of all depth maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.fusion.backends import get_backend
from lotus_recon.fusion.backends.base import Backend
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.sfm.spec import FRAME, IMAGES
from lotus_recon.stages import Context, Cost, Needs, StageSpec, options_of
from lotus_recon.uncertainty.spec import UNCERTAINTY

if TYPE_CHECKING:
    from lotus_recon.fusion.stage import FusionResult
    from lotus_recon.scene_job import SceneJob


def _backend(job: SceneJob) -> Backend:
    return get_backend(options_of(job.config, FusionConfig).fusion)


def _check(job: SceneJob) -> None:
    """Raise InputError for a back-end or a box that is none."""
    _backend(job)
    crop = options_of(job.config, FusionConfig).crop
    if crop is not None:
        from lotus_recon.fusion.crop import parse_crop

        parse_crop(crop)


def _backend_options(job: SceneJob) -> Any:
    group = _backend(job).group
    return None if group is None else options_of(job.config, group[1])


def _run(context: Context[SceneJob], out_dir: Path) -> FusionResult:
    from lotus_recon.fusion import stage

    inputs = stage.Inputs(
        scene=context[FRAME].scene,
        depth_dir=context.folder(CONSISTENCY),
        images_dir=context.folder(IMAGES),
        sigma_dir=context.folder(UNCERTAINTY),
        runtime=context.runtime,
        backend_options=_backend_options(context.job),
    )
    return stage.run(inputs, context.options(FusionConfig), out_dir)


def _load(folder: Path) -> FusionResult:
    from lotus_recon.fusion.stage import FusionResult

    return FusionResult.load(folder)


FUSION: StageSpec[SceneJob, FusionResult] = StageSpec(
    name="fusion",
    summary="one mesh of all depth maps",
    run=_run,
    load=_load,
    options=lambda job: [options_of(job.config, FusionConfig), _backend_options(job)],
    reads=(FRAME, IMAGES, CONSISTENCY, UNCERTAINTY),
    requires=lambda job: _backend(job).requires,
    check=_check,
    folder=lambda job: f"fusion/{_backend(job).name}",
    needs=Needs(memory_mb=2000),
    cost=lambda job: Cost(1.0, seconds_per_megapixel=1.0, disk_mb_per_megapixel=4),
    libraries=("open3d",),
)
