"""Runs of the app: one at a time, each in a process of its own that can be ended at any moment."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lotus_recon.errors import ReconError
from lotus_recon.recipes.base import Selection
from lotus_recon.runners.jobs import SceneJob
from lotus_recon.runners.local import LocalRunner
from lotus_recon.runners.tasks import Event, Fault, Finished, ProgressEvent, Settings, StageEvent, Task
from lotus_recon.threads import thread_count

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]

_POLL_S = 0.2
_IN_LINE_S = 0.5


@dataclass(eq=False)
class Run:
    """A job, and how it is going. The line writes it; others read it."""

    job: SceneJob
    folder: Path  # of the results, as the command line writes them
    title: str
    given: Path  # the folder of what it is made from
    state: State = "waiting"
    before: int = 0  # runs that are served before it
    stages: tuple[str, ...] = ()
    stage: str = ""
    step: tuple[str, int, int] = ("", 0, 0)  # what the stage is doing, done, total
    message: str = ""  # why it failed
    costs: dict[str, float] = field(default_factory=dict)  # seconds that the stages are expected to take
    started: float = 0.0
    stage_started: float = 0.0
    seconds: float = 0.0  # that it took
    ended: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended.is_set()

    def cancel(self) -> None:
        """Ask for its end: within a second there is no process of it, and its files are gone."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether its end was asked for."""
        return self._cancelled.is_set()

    def seconds_left(self) -> float | None:
        """What the stages still to come will take; None where nobody knows."""
        if not self.costs or self.stage not in self.stages:
            return None
        ahead = self.stages[self.stages.index(self.stage) + 1 :]
        current = self.costs.get(self.stage, 0.0) - (time.monotonic() - self.stage_started)
        return max(current, 0.0) + sum(self.costs.get(name, 0.0) for name in ahead)


class Line:
    """Runs wait here for their turn. One process works for all of them, and keeps the network in memory."""

    def __init__(self, threads: int | None = None) -> None:
        self._runner = LocalRunner(1, threads or thread_count())
        self._waiting: deque[Run] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._thread.start()

    def add(self, run: Run) -> None:
        """Put a run at the end of the line."""
        with self._changed:
            self._waiting.append(run)
            self._changed.notify_all()

    def close(self) -> None:
        """End all runs, and the process that worked for them."""
        with self._changed:
            self._closing = True
            for run in self._waiting:
                run.cancel()
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        try:
            while (run := self._next()) is not None:
                self._serve(run)
        finally:
            self._runner.close()

    def _next(self) -> Run | None:
        """The first run that still wants to be served; None when the line is closed."""
        while True:
            with self._changed:
                self._end_cancelled()
                if self._waiting:
                    run = self._waiting.popleft()
                    self._number(0)
                    return run
                if self._closing:
                    return None
                self._changed.wait(_IN_LINE_S)

    def _serve(self, run: Run) -> None:
        run.state, run.started = "running", time.monotonic()
        run.stage_started = run.started
        try:
            finished = self._done(run, "check")
            if finished.fault is None:
                run.stages, run.costs = stages_of(run), costs_of(run)
                finished = self._done(run, "run")
        except Exception as error:  # the line must go on for others
            log.exception("the run in %s", run.folder)
            finished = Finished(run.job.name, Fault.ERROR, f"{type(error).__name__}: {error}")
        self._end(run, finished)

    def _done(self, run: Run, step: Literal["check", "run"]) -> Finished:
        """Let the process do a step; how that ended."""
        name = run.job.name
        self._runner.submit(Task(run.job, run.folder, step, Settings(Selection())))
        while True:
            if run.is_cancelled or self._closing:
                self._runner.stop(name, Fault.TIMEOUT, "cancelled")
            for event in self._runner.poll(_POLL_S):
                if isinstance(event, Finished):
                    return event
                _note(run, event)
            with self._changed:
                self._end_cancelled()
                self._number(1)

    def _end(self, run: Run, finished: Finished) -> None:
        run.seconds = time.monotonic() - run.started
        if run.is_cancelled or self._closing:
            run.state = "cancelled"
            for folder in (run.folder, run.given):
                shutil.rmtree(folder, ignore_errors=True)
        elif finished.fault is not None:
            run.state, run.message = "failed", finished.message
        else:
            run.state = "done"
        run.ended.set()

    def _end_cancelled(self) -> None:
        for run in [run for run in self._waiting if run.is_cancelled]:
            self._waiting.remove(run)
            run.state = "cancelled"
            run.ended.set()

    def _number(self, served: int) -> None:
        for place, run in enumerate(self._waiting):
            run.before = place + served


def _note(run: Run, event: Event) -> None:
    if isinstance(event, StageEvent):
        run.stage, run.stage_started, run.step = event.stage, time.monotonic(), ("", 0, 0)
        if not run.costs:
            run.costs = costs_of(run)
    elif isinstance(event, ProgressEvent):
        run.step = (event.what, event.done, event.total)


def stages_of(run: Run) -> tuple[str, ...]:
    """Names of the steps of a run whose input was checked."""
    job = run.job
    return tuple(step.name for step in job.recipe.steps(job.source(run.folder), job.config, Selection()))


def costs_of(run: Run) -> dict[str, float]:
    """Seconds that each stage will take here; nothing where that is not known (yet): a video has no photos at first."""
    from lotus_recon.recipes.multi_view import MultiView, estimates_of, scene_job
    from lotus_recon.workspace import Workspace

    if run.job.kind != MultiView.kind:
        return {}
    source: Path | Sequence[str] = run.job.video or run.job.images[0]
    try:
        job = scene_job(Path(str(source)), run.job.config, run.folder)
        return {each.stage: each.seconds for each in estimates_of(job, Workspace(run.folder))}
    except ReconError:
        return {}
