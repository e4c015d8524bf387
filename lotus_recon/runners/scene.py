"""One scene, done where the worker is: checked, or run stage by stage. Knows nothing of workers."""

from __future__ import annotations

import contextlib
import logging
import platform
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from lotus_recon.durable import is_disk_full
from lotus_recon.errors import InputError, ReconError
from lotus_recon.logs import log_file
from lotus_recon.measuring import is_out_of_memory, memory_ended, peak_memory_mb
from lotus_recon.recipes.base import Begin
from lotus_recon.runners.records import THUMBNAIL
from lotus_recon.runners.tasks import Fault, Finished, Task
from lotus_recon.workspace import FolderInUseError, Workspace, remove_unfinished_file, write_atomically

log = logging.getLogger(__name__)

_LOCK_SECONDS = 30.0  # a killed predecessor may need as long to let go of the folder
_THUMBNAIL_PX = (160, 120)


def perform(task: Task, begin: Begin, step: str | None = None) -> Finished:
    """Do a task, or one step of it; every way it can fail is in what is returned."""
    started = time.monotonic()
    try:
        if task.step == "check":
            check(task)
            done = Finished(task.name)
        else:
            done = run(task, begin, step)
    except Exception as error:  # noqa: BLE001  one scene must not end the others, whatever it raises
        done = failure(task.name, error)
    return replace(done, seconds=round(time.monotonic() - started, 3), host=platform.node())


def failure(scene: str, error: BaseException) -> Finished:
    """What an exception says about a scene."""
    fault = fault_of(error)
    if fault is Fault.ERROR:
        log.error("%s: %s", scene, "".join(traceback.format_exception(error)))
    text = str(error) if isinstance(error, (ReconError, OSError)) else f"{type(error).__name__}: {error}"
    if fault is Fault.MEMORY:
        text = memory_ended(error)
    return Finished(scene, fault, text)


def fault_of(error: BaseException) -> Fault:
    """The kind of fault that an exception is."""
    if isinstance(error, FolderInUseError):
        return Fault.IN_USE
    if isinstance(error, InputError):
        return Fault.INPUT
    if isinstance(error, ReconError):
        return Fault.FAILED
    if is_out_of_memory(error):
        return Fault.MEMORY
    if isinstance(error, OSError):
        return Fault.DISK_FULL if is_disk_full(error) else Fault.IO
    return Fault.ERROR


def check(task: Task) -> None:
    """Look at all that a scene is made from. Raises InputError, before any long work."""
    job = task.job
    job.recipe.check(job.source(task.folder), job.config, task.settings.selection)


def run(task: Task, begin: Begin, step: str | None = None) -> Finished:
    """Reconstruct a scene whose input was checked, or do one step of it. Raises what the stages raise."""
    job, workspace = task.job, Workspace(task.folder)
    with folder_held(workspace), log_file(task.folder):
        done = job.recipe.run(job.source(task.folder), job.config, task.settings.selection, workspace, begin, step)
        write_thumbnail(task.folder)
    peak = max((row.peak_memory_mb for row in done.stages if row.ran), default=peak_memory_mb())
    return Finished(
        task.name,
        Fault.INPUT if done.failed else None,
        "\n".join(done.failed),
        peak_memory_mb=peak,
        stages=done.stages,
        figures=done.figures,
    )


def write_thumbnail(folder: Path) -> None:
    """Write a small image of the scene: of its mesh, or of the first depth map, if there is any."""
    paths = [*sorted((folder / "report" / "images").glob("mesh*.*")), *sorted(folder.rglob("depth.png"))]
    paths += sorted((folder / "report" / "images").glob("*"))
    for path in paths[:1]:
        remove_unfinished_file(folder / THUMBNAIL)
        with contextlib.suppress(OSError), Image.open(path) as image:
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
