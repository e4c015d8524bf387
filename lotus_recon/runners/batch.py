"""A batch: which scenes are to do, who does them, what is tried again, and what is written down of them."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lotus_recon.durable import is_disk_full
from lotus_recon.interruption import doing, end_if_asked
from lotus_recon.progress import duration
from lotus_recon.runners.config import BatchConfig
from lotus_recon.runners.events import EventLog, utc_now
from lotus_recon.runners.jobs import SceneJob, check_apart, check_unique, shard_of
from lotus_recon.runners.locks import Lease
from lotus_recon.runners.records import FAILED, Record, read_record
from lotus_recon.runners.report import write_report
from lotus_recon.runners.tasks import Fault, Finished, ProgressEvent, Runner, Settings, StageEvent, Task
from lotus_recon.workspace import FolderInUseError, make_folder

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.25
_RETRY_SECONDS = 1.0  # before the second attempt; twice as long before each further one


@dataclass
class Status:
    """How a batch stands, for whoever shows it."""

    total: int
    done: int = 0  # also failed ones
    failed: int = 0
    checking: bool = False
    started: float = field(default_factory=time.monotonic)
    running: dict[str, str] = field(default_factory=dict)  # scene -> what it does now
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)  # scene -> (done, total) of that

    @property
    def per_hour(self) -> float:
        """Scenes per hour so far."""
        return self.done / max(time.monotonic() - self.started, 1e-6) * 3600

    @property
    def seconds_left(self) -> float | None:
        """If the rest takes as long as what is done; None before anything is."""
        return (self.total - self.done) / self.per_hour * 3600 if self.done else None


Watcher = Callable[[Status], object]


@dataclass(frozen=True)
class BatchResult:
    """What became of the scenes, by number; their records are in their folders, and in the report."""

    counts: Counter[str]  # done | up to date | failed (of them refused) | in use | not started | left out
    report: Path

    @property
    def exit_status(self) -> int:
        """0 all done, 1 some not, 2 none could start."""
        if not (self.counts["failed"] or self.counts["in use"] or self.counts["not started"]):
            return 0
        others = ("done", "up to date", "in use", "not started")
        none_started = self.counts["refused"] == self.counts["failed"] and not any(self.counts[o] for o in others)
        return 2 if none_started else 1


@dataclass
class _Attempt:
    job: SceneJob
    number: int = 1
    not_before: float = 0.0
    started: float = 0.0
    lease: Lease | None = None


class Batch:
    """The scenes ``jobs`` into the folder ``out``, done by ``runner``."""

    def __init__(
        self, jobs: Sequence[SceneJob], out: Path, config: BatchConfig, runner: Runner, settings: Settings,
        watch: Watcher | None = None,
    ) -> None:  # fmt: skip
        """Raises InputError when the jobs or the folder cannot be used."""
        check_unique(jobs)
        check_apart(jobs, out)
        self.jobs = shard_of(list(jobs), config.selection.shard)
        make_folder(out)
        self.out, self.config, self.settings, self.runner = out, config, settings, runner
        self.counts: Counter[str] = Counter()
        self._watch = watch or (lambda status: None)
        self._signatures: dict[str, str] = {}
        self._running: dict[str, _Attempt] = {}
        self._halted = ""
        part = f".{config.selection.shard.replace('/', '-of-')}" if config.selection.shard else ""
        self._events = EventLog(out / f"events{part}.jsonl")
        self._report_name = f"batch_report{part}"

    def run(self) -> BatchResult:
        """Do all that is missing. Ends cleanly, leases given back and report written, also on KeyboardInterrupt."""
        self._events.write("batch_started", scenes=len(self.jobs))
        try:
            with doing("the scenes in work are ended", "their running stages are done again, finished ones are kept"):
                pending = self._checked([job for job in self.jobs if self._is_to_do(job)])
                self._drive(pending, "run")
        except KeyboardInterrupt:
            self._events.write("interrupted", running=sorted(self._running))
            raise
        finally:
            self.runner.close()
            for attempt in self._running.values():
                self._give_back(attempt)
            report = write_report(self.out, self._report_name, self.jobs, self.counts)
            self._events.write("batch_finished", **self.counts)
            self._events.close()
        return BatchResult(self.counts, report)

    def _is_to_do(self, job: SceneJob) -> bool:
        selection = self.config.selection
        record = read_record(self.out / job.name, job.name, job.kind)
        lacks_stage = selection.only is not None and selection.only not in job.recipe.stage_names
        if (selection.failed and record.status != FAILED) or lacks_stage:
            self.counts["left out"] += 1
            return False
        self._signatures[job.name] = job.signature()
        if record.holds(self.out / job.name, self._signatures[job.name]) and not (selection.force or selection.only):
            self.counts["up to date"] += 1
            self._events.write("up_to_date", scene=job.name)
            return False
        return True

    def _checked(self, jobs: list[SceneJob]) -> list[SceneJob]:
        """The scenes that can start; those that cannot are listed, all together, and have failed."""
        refused: dict[str, Finished] = {}
        self._drive(jobs, "check", refused)
        if refused:
            lines = [f"  {name}: {_first_line(end.message)}" for name, end in refused.items()]
            log.error("\n".join([f"{len(refused)} of {len(jobs)} scenes cannot start:", *lines]))
        for job in jobs:
            if job.name in refused:
                self.counts["refused"] += 1
                self._finish(_Attempt(job, number=0), refused[job.name])
        return [job for job in jobs if job.name not in refused]

    def _drive(
        self, jobs: Iterable[SceneJob], step: Literal["check", "run"], refused: dict[str, Finished] | None = None
    ) -> None:
        """Keep the runner busy until every job has ended."""
        queue = deque(_Attempt(job) for job in jobs)
        status = Status(len(queue), checking=step == "check")
        while (queue and not self._halted) or self._running:
            end_if_asked()
            self._submit(queue, step, status)
            for event in self.runner.poll(_POLL_SECONDS):
                if isinstance(event, Finished):
                    self._ended(event, queue, step, status, refused)
                else:
                    self._note(event, status)
            if not self._running and queue:
                time.sleep(min(_POLL_SECONDS, max(0.0, queue[0].not_before - time.monotonic())))
            self._stop_late()
            self._watch(status)
        if queue:
            self.counts["not started"] += len(queue)
            log.error("%s; %d scenes were not started: the same command goes on with them", self._halted, len(queue))

    def _submit(self, queue: deque[_Attempt], step: Literal["check", "run"], status: Status) -> None:
        for _ in range(len(queue)):
            if self._halted or self.runner.free == 0:
                return
            attempt = queue.popleft()
            if attempt.not_before > time.monotonic():
                queue.append(attempt)
                continue
            folder = self.out / attempt.job.name
            if step == "run" and not self._take_lease(attempt, folder, status):
                continue
            attempt.started = time.monotonic()
            self._running[attempt.job.name] = attempt
            status.running[attempt.job.name] = step
            if step == "run":
                self._events.write("scene_started", scene=attempt.job.name, attempt=attempt.number)
            # Another attempt goes on with what the first one finished.
            settings = self.settings
            if attempt.number > 1:
                settings = replace(settings, selection=replace(settings.selection, force=False))
            self.runner.submit(Task(attempt.job, folder, step, settings))

    def _take_lease(self, attempt: _Attempt, folder: Path, status: Status) -> bool:
        try:
            attempt.lease = Lease.take(folder)
        except FolderInUseError as error:
            self._finish(attempt, Finished(attempt.job.name, Fault.IN_USE, str(error)), status)
        except OSError as error:
            fault = Fault.DISK_FULL if is_disk_full(error) else Fault.IO
            self._finish(attempt, Finished(attempt.job.name, fault, f"{folder}: {error.strerror}"), status)
        else:
            return True
        return False

    def _ended(
        self, end: Finished, queue: deque[_Attempt], step: str, status: Status, refused: dict[str, Finished] | None
    ) -> None:
        attempt = self._running.pop(end.scene)
        status.running.pop(end.scene, None)
        status.progress.pop(end.scene, None)
        self._give_back(attempt)
        if end.fault is not None and end.fault.is_retried and attempt.number <= self.config.runner.retries:
            wait = _RETRY_SECONDS * 2 ** (attempt.number - 1)
            log.warning("%s: %s; tried again in %.0f s", end.scene, end.message, wait)
            self._events.write("retry", scene=end.scene, fault=end.fault.value, message=end.message)
            queue.append(_Attempt(attempt.job, attempt.number + 1, time.monotonic() + wait))
        elif step == "run":
            self._finish(attempt, end, status)
        else:
            status.done += 1
            if end.fault is not None and refused is not None:
                refused[end.scene] = end

    def _finish(self, attempt: _Attempt, end: Finished, status: Status | None = None) -> None:
        """Write down the end of a scene."""
        job = attempt.job
        if end.fault is Fault.IN_USE:
            self.counts["in use"] += 1
        else:
            only = self.settings.selection.only is not None
            signature = self._signatures.pop(job.name, "")
            record = Record.of(job.kind, signature, end, attempt.number, only, utc_now())
            self._keep(record, job)
            self.counts["failed" if end.fault else "done"] += 1
        if end.fault is Fault.DISK_FULL:
            self._halted = f"the disk of {self.out} is full"
        fields = {"fault": end.fault.value, "message": end.message} if end.fault else {}
        ran = [one.stage for one in end.stages if one.ran]
        name = "scene_failed" if end.fault else "scene_done"
        self._events.write(name, scene=job.name, seconds=end.seconds, ran=ran, host=end.host, **fields)
        if status is not None:
            status.done += 1
            status.failed += end.fault is not None
            _say(end, status)

    def _keep(self, record: Record, job: SceneJob) -> None:
        try:
            folder = self.out / job.name
            folder.mkdir(exist_ok=True)
            record.write(folder)
        except OSError as error:
            log.error("%s: what became of it cannot be written: %s", job.name, error.strerror)
            if is_disk_full(error):
                self._halted = f"the disk of {self.out} is full"

    def _note(self, event: StageEvent | ProgressEvent, status: Status) -> None:
        if isinstance(event, StageEvent):
            status.running[event.scene] = event.stage
            status.progress.pop(event.scene, None)
            self._events.write("stage_started", scene=event.scene, stage=event.stage)
        elif event.scene in status.running:
            status.progress[event.scene] = (event.done, event.total)

    def _stop_late(self) -> None:
        limit = self.config.runner.timeout
        for name, attempt in self._running.items():
            if limit is not None and time.monotonic() - attempt.started > limit:
                attempt.started = float("inf")  # once
                self.runner.stop(name, Fault.TIMEOUT, f"took longer than --timeout {limit:g} s")

    def _give_back(self, attempt: _Attempt) -> None:
        if attempt.lease is not None:
            attempt.lease.release()
            attempt.lease = None


def _say(end: Finished, status: Status) -> None:
    left = status.seconds_left
    tail = f"{status.failed} failed, {status.per_hour:.0f}/h" + (f", {duration(left)} left" if left else "")
    place = f"[{status.done}/{status.total}]"
    if end.fault is None:
        log.info("%s %s: done in %s (%s)", place, end.scene, duration(end.seconds), tail)
    else:
        log.error("%s %s: %s: %s (%s)", place, end.scene, end.fault.value, _first_line(end.message), tail)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def local_shape(config: BatchConfig, deterministic: bool) -> tuple[int, int]:
    """(workers, threads of each) of the local runner."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = config.runner.workers or max(1, cores // 2)
    # A different number of threads adds in another order: what must repeat takes one.
    threads = 1 if deterministic else config.runner.threads or max(1, cores // workers)
    return workers, threads
