"""One scene, done where the worker is: checked, or run stage by stage. Knows nothing of workers."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lotus_recon.errors import InputError, ReconError
from lotus_recon.frames.config import FramesConfig
from lotus_recon.io.video import check_video, extract_frames
from lotus_recon.logs import log_file
from lotus_recon.recipes import multi_view, single_view
from lotus_recon.recipes.engine import check_only, run_stages
from lotus_recon.recipes.output_folder import claim
from lotus_recon.runners.jobs import FRAMES_FOLDER
from lotus_recon.runners.tasks import Fault, Finished, StageRun, Task
from lotus_recon.workspace import (
    FolderInUseError,
    Workspace,
    file_fingerprint,
    peak_memory_mb,
    write_atomically,
)

log = logging.getLogger(__name__)

Begin = Callable[[str], object]  # told the name of each stage before it
THUMBNAIL = "thumbnail.jpg"

_LOCK_SECONDS = 30.0  # a killed predecessor may need as long to let go of the folder
_THUMBNAIL_PX = (160, 120)


def perform(task: Task, begin: Begin) -> Finished:
    """Do a task; every way it can fail is in what is returned."""
    started = time.monotonic()
    try:
        if task.step == "check":
            check(task)
            done = Finished(task.name)
        else:
            done = run(task, begin)
    except Exception as error:  # noqa: BLE001  one scene must not end the others, whatever it raises
        done = failure(task.name, error)
    return replace(done, seconds=round(time.monotonic() - started, 3), host=platform.node())


def failure(scene: str, error: BaseException) -> Finished:
    """What an exception says about a scene."""
    fault = fault_of(error)
    if fault is Fault.ERROR:
        log.error("%s: %s", scene, "".join(traceback.format_exception(error)))
    text = str(error) if isinstance(error, (ReconError, OSError)) else f"{type(error).__name__}: {error}"
    return Finished(scene, fault, text)


def fault_of(error: BaseException) -> Fault:
    """The kind of fault that an exception is."""
    if isinstance(error, FolderInUseError):
        return Fault.IN_USE
    if isinstance(error, InputError):
        return Fault.INPUT
    if isinstance(error, ReconError):
        return Fault.FAILED
    if isinstance(error, MemoryError):
        return Fault.MEMORY
    if isinstance(error, OSError):
        return Fault.DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else Fault.IO
    return Fault.ERROR


def check(task: Task) -> None:
    """Look at all that a scene is made from. Raises InputError, before any long work."""
    job = task.job
    if job.video is not None:
        check_video(job.video)
        return  # photos and what goes with them are looked at once there are frames
    if job.kind == "multi_view":
        multi_view.check_job(Path(job.images[0]), job.config, task.folder, task.settings.only)  # type: ignore[arg-type]
        return
    single_view.check_job(job.images, job.config, task.folder)  # type: ignore[arg-type]


def run(task: Task, begin: Begin) -> Finished:
    """Reconstruct a scene whose input was checked. Raises what the stages raise."""
    workspace = Workspace(task.folder)
    with folder_held(workspace):
        if task.job.video is not None:
            begin(FRAMES_FOLDER)
            take_frames(task, workspace)
        finished = (_run_photos if task.job.kind == "single_view" else _run_scene)(task, workspace, begin)
        write_thumbnail(task.folder)
    return finished


def take_frames(task: Task, workspace: Workspace) -> None:
    """The stage that takes photos from the video, once. The folder is claimed for the video."""
    video, options = task.job.video, task.job.frames
    assert video is not None  # by the caller
    part = "scene" if task.job.kind == "multi_view" else FRAMES_FOLDER
    claim(workspace, task.job.config, {part: str(video.resolve())}, task.settings.force)

    def extract(folder: Path) -> None:
        extract_frames(video, folder, options.max_frames, options.frame_motion)

    _run_frames_stage(workspace, extract, options, {"video": file_fingerprint(video)})


def _run_frames_stage(
    workspace: Workspace, extract: Callable[[Path], None], options: FramesConfig, inputs: Mapping[str, str]
) -> None:
    workspace.run_stage(FRAMES_FOLDER, extract, lambda folder: None, options, inputs)


def _run_photos(task: Task, workspace: Workspace, begin: Begin) -> Finished:
    """Photos one by one. A photo that fails is the scene's failure, and the others are done."""
    job = single_view.check_job(task.job.photo_arguments(task.folder), task.job.config, task.folder)  # type: ignore[arg-type]
    owners = {photo.stem: str(photo.path.resolve()) for photo in job.photos}
    claim(workspace, job.config, owners, force=task.settings.force)
    if task.settings.force:
        for photo in job.photos:
            workspace.invalidate(photo.stem)
    before = {photo.stem: run_id(workspace, photo.stem) for photo in job.photos}
    begin("single_view")
    with log_file(task.folder):
        outcomes = single_view.run_job(job, workspace)
    stages = tuple(stage_run(workspace, photo.stem, photo.stem, before[photo.stem]) for photo in job.photos
                   if workspace.is_finished(photo.stem))  # fmt: skip
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    message = f"{len(failed)} of {len(outcomes)} photos: {failed[0].detail}" if failed else ""
    return Finished(
        task.name,
        Fault.INPUT if failed else None,
        message,
        peak_memory_mb=max((one.peak_memory_mb for one in stages), default=peak_memory_mb()),
        stages=stages,
        figures={"photos": len(outcomes) - len(failed)},
    )


@dataclass(frozen=True)
class Opened:
    """A multi-view scene, ready to run its stages."""

    workspace: Workspace
    stages: list[Any]
    before: Mapping[str, str]  # run id of each stage that was finished

    def runs(self) -> tuple[StageRun, ...]:
        """What became of the stages that are finished."""
        found = [s for s in self.stages if self.workspace.is_finished(s.folder)]
        return tuple(stage_run(self.workspace, s.name, s.folder, self.before[s.name]) for s in found)


def open_scene(task: Task, workspace: Workspace) -> Opened:
    """Claim the folder of a multi-view scene and list its stages."""
    root = Path(task.job.photo_arguments(task.folder)[0])
    only = task.settings.only
    # Photos were decoded when the scene was checked; frames of a video come from our own hands.
    job = multi_view.check_job(root, task.job.config, task.folder, only, decode_photos=False)  # type: ignore[arg-type]
    owner = task.job.video or root
    claim(workspace, job.config, {"scene": str(owner.resolve())}, task.settings.force)
    stages = multi_view.stages(job)
    check_only(workspace, stages, only)
    if task.settings.force:
        for stage in stages:
            if only in (None, stage.name):
                workspace.invalidate(stage.folder)
    return Opened(workspace, stages, {stage.name: run_id(workspace, stage.folder) for stage in stages})


def perform_stage(task: Task, name: str, opened: Opened | None) -> Finished:
    """One stage of a scene alone, the frames of its video when nothing is ``opened`` yet; never raises."""
    started = time.monotonic()
    workspace = Workspace(task.folder)
    try:
        with folder_held(workspace):
            done = _one_stage(task, name, opened, workspace)
    except Exception as error:  # noqa: BLE001  one scene must not end the others, whatever it raises
        done = failure(task.name, error)
    return replace(done, seconds=round(time.monotonic() - started, 3), host=platform.node())


def _one_stage(task: Task, name: str, opened: Opened | None, workspace: Workspace) -> Finished:
    if opened is None:
        take_frames(task, workspace)
        return Finished(task.name)
    with log_file(task.folder):
        run_stages(workspace, opened.stages, only=name)
    ran = [one for one in opened.runs() if one.stage == name]
    if opened.stages[-1].name != name:
        return Finished(task.name, stages=tuple(ran))
    write_thumbnail(task.folder)
    return Finished(task.name, stages=tuple(ran), figures=scene_figures(task.folder))


def _run_scene(task: Task, workspace: Workspace, begin: Begin) -> Finished:
    opened = open_scene(task, workspace)
    with log_file(task.folder):
        run_stages(workspace, opened.stages, task.settings.only, begin=begin)
    stages = opened.runs()
    peak = max((one.peak_memory_mb for one in stages if one.ran), default=peak_memory_mb())
    return Finished(task.name, peak_memory_mb=peak, stages=stages, figures=scene_figures(task.folder))


def run_id(workspace: Workspace, folder: str) -> str:
    """Names the run that finished a stage; empty when there is none."""
    return str(workspace.stage_info(folder)["run_id"]) if workspace.is_finished(folder) else ""


def stage_run(workspace: Workspace, name: str, folder: str, before: str) -> StageRun:
    """What became of a stage that is finished, whose run id was ``before``."""
    info = workspace.stage_info(folder)
    return StageRun(name, folder, float(info["seconds"]), float(info["peak_memory_mb"]), info["run_id"] != before)


def scene_figures(folder: Path) -> dict[str, float | str]:
    """The few figures of a multi-view scene that the table of a batch shows; those that are there."""
    figures: dict[str, float | str] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((folder / "report" / "report.json").read_text())
        photos = content["photos"]
        figures["photos"] = len(photos["registered"])
        figures["photos given"] = photos["given"]
        aligned = content["figures"]["alignment of each view"]
        figures["aligned"] = sum(view["status"] not in ("rejected", "no_prediction") for view in aligned)
    return figures


def write_thumbnail(folder: Path) -> None:
    """A small picture of the scene: of its mesh, or of the first depth map. None is no failure."""
    pictures = [*sorted((folder / "report" / "pictures").glob("mesh*.*")), *sorted(folder.rglob("depth.png"))]
    pictures += sorted((folder / "report" / "pictures").glob("*"))
    for picture in pictures[:1]:
        with contextlib.suppress(OSError), Image.open(picture) as image:
            small = image.convert("RGB")
            small.thumbnail(_THUMBNAIL_PX)
            write_atomically(folder / THUMBNAIL, lambda part, small=small: small.save(part, quality=85))  # type: ignore[misc]


@contextlib.contextmanager
def folder_held(workspace: Workspace) -> Iterator[None]:
    """Hold the folder; waits a while for a process that is being ended."""
    deadline = time.monotonic() + _LOCK_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(workspace.locked())
                break
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield
