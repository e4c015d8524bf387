"""A folder of photos or a video in; poses, depth per view and one mesh out. The stages are in ``table.MULTI_VIEW``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.io.photo_checks import refuse_broken
from lotus_recon.models.base import resolve_device
from lotus_recon.models.config import PredictionConfig
from lotus_recon.recipes.config import MultiViewConfig, SceneConfig
from lotus_recon.recipes.engine import check_stages, run_stages
from lotus_recon.recipes.output_folder import OWN_FILES, check_apart
from lotus_recon.recipes.table import MULTI_VIEW
from lotus_recon.scene_job import SceneJob, is_video
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.stages import Context, options_of
from lotus_recon.workspace import Workspace


def check_job(
    source: Path, config: MultiViewConfig, out: Path, only: str | None = None, decode_photos: bool = True
) -> SceneJob:
    """The job of a command line. Raises InputError for everything that can be found before any long work.

    ``decode_photos`` looks for broken photos, which takes time: a caller that has just done it may leave it out.
    """
    check_apart(out, [*(stage.name for stage in MULTI_VIEW), *OWN_FILES], _paths(source, config))
    if not source.is_dir() and not is_video(source):
        what = "does not exist" if not source.exists() else "is neither a folder of photos nor a video"
        raise InputError(f"{source} {what}")
    job = SceneJob(source, out, config, options_of(config, SceneConfig).masks)
    resolve_device(options_of(config, Runtime).device)
    if decode_photos and not job.is_video:
        refuse_broken(job.photos)
    check_stages(MULTI_VIEW, job, only)
    return job


def run_job(
    job: SceneJob,
    workspace: Workspace,
    only: str | None = None,
    from_stage: str | None = None,
    begin: Callable[[str], object] | None = None,
) -> Context[SceneJob]:
    """Run the stages of a job that was checked; the frames of a video are checked once they are there."""
    return run_stages(workspace, MULTI_VIEW, job, only, from_stage, begin, recheck=job.is_video)


def _paths(source: Path, config: MultiViewConfig) -> dict[str, Path | None]:
    """Every path that the options name, by what it is."""
    sfm = options_of(config, SfmConfig)
    return {
        "photo folder" if source.is_dir() else "video": source,
        "--predictions": options_of(config, PredictionConfig).predictions,
        "--masks": options_of(config, SceneConfig).masks,
        "--poses": sfm.poses,
        "--pairs": sfm.pairs,
        "--intrinsics": sfm.intrinsics,
    }
