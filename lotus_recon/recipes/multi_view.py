"""A folder of photos or a video in; poses, depth per view and one mesh out. The stages are in ``table.MULTI_VIEW``."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.fusion.spec import FUSION
from lotus_recon.io.images import read_info
from lotus_recon.io.photo_checks import refuse_broken
from lotus_recon.models.base import resolve_device
from lotus_recon.models.config import PredictionConfig
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.mvs.spec import MVS
from lotus_recon.recipes.base import Begin, Done, Plan, Selection, Source, StageRun, Step, run_id
from lotus_recon.recipes.config import MultiViewConfig, SceneConfig
from lotus_recon.recipes.engine import check_only, check_stages, is_made_from, missing_stages, run_stages
from lotus_recon.recipes.estimates import Estimate, Pace, estimates
from lotus_recon.recipes.output_folder import OWN_FILES, IsSame, check_apart, check_owners, claim
from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config
from lotus_recon.recipes.videos import foretold_work
from lotus_recon.scene_job import SceneJob, is_video
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.stages import Context, Work, options_of, selected, stages_of
from lotus_recon.workspace import Workspace

log = logging.getLogger(__name__)


def check_job(source: Path, config: MultiViewConfig, out: Path, only: str | None = None) -> SceneJob:
    """The job of a command line. Raises InputError for everything that can be found before any long work."""
    check_apart(out, [*(stage.name for stage in MULTI_VIEW), *OWN_FILES], _paths(source, config))
    if not source.is_dir() and not is_video(source):
        what = "does not exist" if not source.exists() else "is neither a folder of photos nor a video"
        raise InputError(f"{source} {what}")
    job = scene_job(source, config, out)
    resolve_device(options_of(config, Runtime).device)
    FUSION.check(job)  # of options alone: said before all photos are decoded
    if not job.is_video:
        refuse_broken(job.photos)
    elif job.video_info.frames < 2:
        raise InputError(f"video {source} gives one frame, and several are needed; for one photo use single_view")
    check_stages(MULTI_VIEW, job, only)
    _warn_of_unused(job)
    return job


def _warn_of_unused(job: SceneJob) -> None:
    """Warn of an option that was given and that no stage of the job uses."""
    background = options_of(job.config, MvsConfig).background
    if background != MvsConfig().background and MVS not in stages_of(MULTI_VIEW, job):
        log.warning(
            "--background %s has no effect: this run has no stage %s, which needs %s",
            background,
            MVS.name,
            MVS.wanted_with,
        )


def scene_job(source: Path, config: MultiViewConfig, out: Path) -> SceneJob:
    """The job of input that was checked before."""
    scene, poses = options_of(config, SceneConfig), options_of(config, SfmConfig).poses
    return SceneJob(source, out, config, scene.masks, poses, scene.include, scene.exclude)


def run_job(
    job: SceneJob,
    workspace: Workspace,
    only: str | None = None,
    from_stage: str | None = None,
) -> Context[SceneJob]:
    """Run the stages of a job that was checked; the frames of a video are checked once they are there."""
    return run_stages(workspace, MULTI_VIEW, job, only, from_stage, recheck=job.is_video, work=work_of(job))


def work_of(job: SceneJob) -> Work | None:
    """How much there is to do; None while the photos are still in a video, and where they are gone."""
    if not job.root.is_dir():
        return None
    longest, pixels = options_of(job.config, SfmConfig).max_size, 0.0
    for photo in job.photos:
        info = read_info(photo.path)
        reduced = min(1.0, longest / max(info.width, info.height)) if longest else 1.0
        pixels += info.width * info.height * reduced**2
    return Work(len(job.photos), pixels / 1e6)


def estimates_of(job: SceneJob, workspace: Workspace, only: str | None = None) -> list[Estimate]:
    """What the stages of a job that are due will take; at most, while the photos are still in a video."""
    stages = stages_of(MULTI_VIEW, job)
    due = {stage.name for stage in selected(stages, only)}
    device = resolve_device(options_of(job.config, Runtime).device).type
    work = work_of(job)
    if work is None:
        work = foretold_work(job, options_of(job.config, SfmConfig).max_size)
    else:
        due &= set(missing_stages(workspace, MULTI_VIEW, job))
    return estimates(stages, job, work, device, Pace.load(), due)


def _paths(source: Path, config: MultiViewConfig) -> dict[str, Path | None]:
    """Every path that the options name, by what it is."""
    what = "video" if source.is_file() else "photo folder"
    return {what: source, **{f"--{option}": path for option, path in MultiView().given_paths(config).items()}}


# Where the keys of a manifest stand in the configuration: group and option.
_PLACES: Mapping[str, tuple[str, str]] = {
    "predictions": ("prediction", "predictions"),
    "poses": ("sfm", "poses"),
    "masks": ("scene", "masks"),
    "intrinsics": ("sfm", "intrinsics"),
    "model": ("prediction", "model"),
    "max_frames": ("frames", "max_frames"),
    "frame_motion": ("frames", "frame_motion"),
}


class MultiView:
    """``pipelines.multi_view`` as a recipe for runners."""

    kind = "multi_view"
    config_type: type[Any] = multi_view_config()
    stage_names = tuple(stage.name for stage in MULTI_VIEW)
    rows_are_photos = False

    @property
    def places(self) -> Mapping[str, tuple[str, str]]:
        """See ``Recipe``."""
        return _PLACES

    def check_images(self, images: Sequence[str]) -> None:
        """See ``Recipe``."""
        if len(images) != 1 or not Path(images[0]).is_dir():
            raise InputError("a multi_view scene takes one folder of images")

    def given_paths(self, config: Any) -> dict[str, Path | None]:
        """See ``Recipe``."""
        sfm = options_of(config, SfmConfig)
        return {
            "predictions": options_of(config, PredictionConfig).predictions,
            "masks": options_of(config, SceneConfig).masks,
            "poses": sfm.poses,
            "pairs": sfm.pairs,
            "intrinsics": sfm.intrinsics,
        }

    def check(self, source: Source, config: Any, selection: Selection) -> None:
        """See ``Recipe``."""
        job, workspace = check_job(_path(source), config, source.out, selection.only), Workspace(source.out)
        check_owners(workspace, owners_of(job), selection.force, is_same(job, workspace))
        check_only(workspace, MULTI_VIEW, job, selection.only)

    def plan(self, source: Source, config: Any, selection: Selection, workspace: Workspace) -> Plan:
        """See ``Recipe``."""
        job = scene_job(_path(source), config, source.out)
        names = [stage.name for stage in stages_of(MULTI_VIEW, job)]
        missing = names if selection.force else missing_stages(workspace, MULTI_VIEW, job)
        asked = [stage.name for stage in selected(stages_of(MULTI_VIEW, job), selection.only)]
        run = tuple(name for name in missing if name in asked)
        skipped = tuple(name for name in names if name not in run)
        if not (run and job.has_photos):
            return Plan(run, skipped, 0)
        device = resolve_device(options_of(config, Runtime).device).type
        work = work_of(job)
        stages = stages_of(MULTI_VIEW, job)
        expected = () if work is None else tuple(estimates(stages, job, work, device, Pace.load(), run))
        return Plan(run, skipped, len(job.photos), expected)

    def steps(self, source: Source, config: Any, selection: Selection) -> list[Step]:
        """See ``Recipe``."""
        stages = stages_of(MULTI_VIEW, scene_job(_path(source), config, source.out))
        return [Step(stage.name, stage.needs) for stage in selected(stages, selection.only)]

    def run(
        self,
        source: Source,
        config: Any,
        selection: Selection,
        workspace: Workspace,
        begin: Begin,
        step: str | None = None,
    ) -> Done:
        """See ``Recipe``."""
        job = scene_job(_path(source), config, source.out)
        claim(workspace, config, owners_of(job), selection.force, is_same(job, workspace))
        stages = stages_of(MULTI_VIEW, job)
        if selection.force:
            for stage in selected(stages, selection.only):
                if step in (None, stage.name):
                    workspace.invalidate(stage.place(job))
        before = {stage.name: run_id(workspace, stage.place(job)) for stage in stages}
        # A step of its own reads no header of all photos, and hashes none of them, to say how long the others take.
        work = None if step else work_of(job)
        run_stages(workspace, MULTI_VIEW, job, step or selection.only, begin=begin, recheck=job.is_video, work=work)
        rows = [
            StageRun.of(workspace, stage.name, [stage.place(job)], [before[stage.name]])
            for stage in stages
            if workspace.is_finished(stage.place(job)) and step in (None, stage.name)
        ]
        return Done(tuple(rows), figures=scene_figures(workspace.root))


def owners_of(job: SceneJob) -> dict[str, str]:
    """What each part of the output folder is made from; see ``output_folder.claim``."""
    return {"scene": str(job.source.resolve())}


def is_same(job: SceneJob, workspace: Workspace) -> IsSame:
    """Whether a folder was made from the photos of a job; see ``output_folder.check_owners``."""
    return lambda part: is_made_from(workspace, MULTI_VIEW, job)


def _path(source: Source) -> Path:
    return source.video or Path(source.images[0])


def scene_figures(folder: Path) -> dict[str, float | str]:
    """The few figures of a scene that the table of a batch shows; those that are there."""
    figures: dict[str, float | str] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ArithmeticError):
        content = json.loads((folder / "report" / "report.json").read_text())
        photos = content["photos"]
        figures["photos"] = len(photos["registered"])
        figures["photos given"] = int(photos["given"])
        aligned = content["figures"]["alignment of each view"]
        figures["aligned"] = sum(view["status"] not in ("rejected", "no_prediction") for view in aligned)
    return figures
