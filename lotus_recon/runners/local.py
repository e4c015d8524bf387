"""Scenes in processes of this machine, each with warm models; one that dies is replaced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from lotus_recon.processes import WorkerProcess, wait_for_any
from lotus_recon.runners.tasks import Event, Fault, Finished, Task
from lotus_recon.runners.worker import scene_service

_MEMORY_SECONDS = 0.2  # between two looks at the memory of the workers


class LocalRunner:
    """Worker processes. They start with the first tasks and stay until ``close``."""

    def __init__(self, workers: int, threads: int, memory_limit_mb: int | None = None) -> None:
        self.workers = [_Worker(threads) for _ in range(workers)]
        self.memory_limit_mb = memory_limit_mb
        self._memory_checked = 0.0

    @property
    def free(self) -> int:
        """Workers without a task."""
        return sum(worker.task is None for worker in self.workers)

    def submit(self, task: Task) -> None:
        """Give a task to a worker that has none, rather to one that has started."""
        idle = [worker for worker in self.workers if worker.task is None]
        min(idle, key=lambda worker: not worker.is_alive).take(task)

    def poll(self, seconds: float) -> Sequence[Event]:
        """What the workers report; a worker that died with a task gives its Finished."""
        busy = {worker.process: worker for worker in self.workers if worker.process and worker.task is not None}
        if not busy:
            return []
        events = [event for process in wait_for_any(list(busy), seconds) for event in busy[process].events()]
        self._limit_memory()
        return events

    def stop(self, scene: str, fault: Fault, message: str) -> None:
        """Kill the worker of a scene."""
        for worker in self.workers:
            if worker.task is not None and worker.task.name == scene:
                worker.kill(fault, message)

    def close(self) -> None:
        """End all workers at once: whatever they write is written by rename."""
        for worker in self.workers:
            if worker.process is not None:
                worker.process.close()

    def _limit_memory(self) -> None:
        now = time.monotonic()
        if self.memory_limit_mb is None or now - self._memory_checked < _MEMORY_SECONDS:
            return
        self._memory_checked = now
        for worker in self.workers:
            used = worker.process.memory_mb() if worker.process and worker.task is not None else 0.0
            if used > self.memory_limit_mb:
                worker.kill(Fault.MEMORY, f"took {used:.0f} MB of memory; --memory-limit is {self.memory_limit_mb} MB")


@dataclass
class _Worker:
    """A place for one task at a time, and the process that does it."""

    threads: int
    task: Task | None = None
    process: WorkerProcess | None = None
    kill_reason: tuple[Fault, str] | None = None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive

    def take(self, task: Task) -> None:
        """Send a task, to a new process where the last one died."""
        if self.process is None or not self.process.is_alive:
            self.process = WorkerProcess(scene_service, (self.threads,), self.threads)
        self.task, self.kill_reason = task, None
        self.process.send(task)

    def events(self) -> list[Event]:
        """What the process has sent, and the exit event of a task whose process ended without sending one."""
        assert self.process is not None  # whoever asks has waited for it
        events, has_ended = self.process.receive()
        if any(isinstance(event, Finished) for event in events):
            self.task = None
        if has_ended and self.task is not None:
            fault, message = self.kill_reason or (Fault.CRASH, self.process.exit_reason())
            events.append(Finished(self.task.name, fault, message))
            self.task = None
        return events

    def kill(self, fault: Fault, message: str) -> None:
        """End the process; its task will have failed for this reason."""
        assert self.process is not None  # it has a task
        self.kill_reason = (fault, message)
        self.process.kill()
