"""A video in; depth of every frame out, steady over time. The stages are in ``table.VIDEO``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.models.base import check_tile_fits, resolve_device
from lotus_recon.models.config import PredictionConfig
from lotus_recon.models.precomputed import check_whose, meaning_of
from lotus_recon.models.registry import options_of as model_options
from lotus_recon.recipes.config import SceneConfig, SingleViewConfig
from lotus_recon.recipes.engine import check_stages, is_made_from, missing_stages, run_stages
from lotus_recon.recipes.estimates import Estimate, Pace, estimates
from lotus_recon.recipes.output_folder import OWN_FILES, check_apart, claim
from lotus_recon.recipes.table import VIDEO
from lotus_recon.scene_job import SceneJob
from lotus_recon.stages import Work, options_of
from lotus_recon.video.footage import footage_of
from lotus_recon.video.spec import STEADY, max_size_of
from lotus_recon.video.steady import SteadyVideo
from lotus_recon.workspace import Workspace


def check_job(arguments: Sequence[str], config: SingleViewConfig, out: Path) -> SceneJob:
    """The job of a command line: a video, or a folder of its frames. Raises InputError before any long work.

    Every frame is decoded for that.
    """
    if len(arguments) != 1:
        raise InputError(f"--video takes one folder of frames, or one video, not {len(arguments)} arguments")
    scene, stored = options_of(config, SceneConfig), options_of(config, PredictionConfig)
    if scene.masks is not None:
        raise InputError("--masks is for photos; a video has none")
    job = SceneJob(Path(arguments[0]), out, config, include=scene.include, exclude=scene.exclude)
    if not job.is_video and not job.source.is_dir():
        raise InputError(f"--video: {job.source} is neither a video nor a folder of frames")
    given = {"video" if job.is_video else "photo folder": job.source, "--predictions": stored.predictions}
    check_apart(out, [*(stage.place(job).folder for stage in VIDEO), *OWN_FILES], given)
    resolve_device(options_of(config, Runtime).device)
    if stored.predictions is not None and not job.is_video:
        check_whose(stored.predictions, job.photos, meaning_of(model_options(stored)))
    check_stages(VIDEO, job)
    footage = footage_of(job)
    check_tile_fits(stored.tiles, (footage.width, footage.height), max_size_of(job), job.source.name)
    return job


def estimates_of(job: SceneJob, workspace: Workspace) -> list[Estimate]:
    """What the stages that are due will take."""
    footage = footage_of(job)
    width, height = fit_longer_edge(footage.width, footage.height, max_size_of(job))
    work = Work(len(footage.names), len(footage.names) * width * height / 1e6)
    device = resolve_device(options_of(job.config, Runtime).device).type
    return estimates(VIDEO, job, work, device, Pace.load(), missing_stages(workspace, VIDEO, job))


def claim_video(job: SceneJob, workspace: Workspace, force: bool) -> None:
    """Write down that the folder is of this video; see ``output_folder.claim``."""
    owner = {STEADY.place(job).folder: str(job.source.resolve())}
    claim(workspace, job.config, owner, force, lambda part: is_made_from(workspace, VIDEO, job))


def run_job(job: SceneJob, workspace: Workspace, only: str | None, from_stage: str | None) -> SteadyVideo | None:
    """Run the stages of a job that was checked; None where ``only`` leaves no video."""
    context = run_stages(workspace, VIDEO, job, only, from_stage)
    return context[STEADY] if workspace.is_finished(STEADY.place(job)) else None
