"""Scenes in processes of this machine, each with warm models; one that dies is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from lotus_recon.runners import worker
from lotus_recon.runners.tasks import Event, Fault, Finished, Task

# Read by OpenMP, MKL and OpenBLAS when they are loaded, so before a worker starts. Waiting threads must sleep.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_MEMORY_SECONDS = 0.2  # between two looks at the memory of the workers


class LocalRunner:
    """Worker processes. They start with the first tasks and stay until ``close``."""

    def __init__(self, workers: int, threads: int, memory_limit_mb: int | None = None) -> None:
        self.workers = [_Worker(threads) for _ in range(workers)]
        self.memory_limit_mb = memory_limit_mb
        self._looked = 0.0

    @property
    def free(self) -> int:
        """Workers without a task."""
        return sum(worker.task is None for worker in self.workers)

    def submit(self, task: Task) -> None:
        """Give a task to a worker that has none, rather to one that has started."""
        idle = [worker for worker in self.workers if worker.task is None]
        min(idle, key=lambda worker: not worker.is_alive).take(task)

    def poll(self, seconds: float) -> Sequence[Event]:
        """What the workers say; a worker that died with a task gives its Finished."""
        busy = {w.pipe: w for w in self.workers if w.task is not None and w.pipe is not None}
        sentinels = {w.process.sentinel: w for w in busy.values()}
        if not busy:
            return []
        ready = wait([*busy, *sentinels], timeout=seconds)
        events = [event for pipe in ready if pipe in busy for event in busy[pipe].read()]
        for sentinel in ready:
            dead = sentinels.get(sentinel)
            if dead is not None and dead.task is not None:
                events += [*dead.read(), *dead.obituary()]
        self._limit_memory()
        return events

    def stop(self, scene: str, fault: Fault, message: str) -> None:
        """Kill the worker of a scene."""
        for one in self.workers:
            if one.task is not None and one.task.name == scene:
                one.kill(fault, message)

    def close(self) -> None:
        """End all workers, those that work by force."""
        for one in self.workers:
            one.end()

    def _limit_memory(self) -> None:
        now = time.monotonic()
        if self.memory_limit_mb is None or now - self._looked < _MEMORY_SECONDS:
            return
        self._looked = now
        for one in self.workers:
            used = one.memory_mb() if one.task is not None else 0.0
            if used > self.memory_limit_mb:
                one.kill(Fault.MEMORY, f"took {used:.0f} MB of memory; --memory-limit is {self.memory_limit_mb} MB")


class _Worker:
    """One process and its pipe."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.task: Task | None = None
        self.pipe: Connection | None = None
        self.process: Any = None
        self._reason: tuple[Fault, str] | None = None  # why we killed it

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self.process is not None and self.process.is_alive()

    def take(self, task: Task) -> None:
        """Send a task, to a new process where the last one died."""
        if not self.is_alive:
            self._start()
        assert self.pipe is not None  # by _start
        self.task, self._reason = task, None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead meanwhile: poll() will see
            self.pipe.send(task)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with _thread_variables(self.threads), _hidden_main():
            self.process = context.Process(target=worker.main, args=(theirs, self.threads), daemon=True)
            self.process.start()
        theirs.close()
        self.pipe = ours

    def read(self) -> Iterator[Event]:
        """What has come through the pipe."""
        assert self.pipe is not None
        with contextlib.suppress(EOFError, ConnectionResetError):
            while self.pipe.poll():
                event = self.pipe.recv()
                if isinstance(event, Finished):
                    self.task = None
                if event != "ready":
                    yield event

    def obituary(self) -> Iterator[Finished]:
        """The Finished of a task whose process died, if it did not send one."""
        if self.task is None:
            return
        self.process.join()
        fault, message = self._reason or (Fault.CRASH, _death(self.process.exitcode))
        name, self.task = self.task.name, None
        yield Finished(name, fault, message)

    def kill(self, fault: Fault, message: str) -> None:
        """End the process; its task will have failed for this reason."""
        self._reason = (fault, message)
        self.process.kill()

    def end(self) -> None:
        """End the process: at once, as everything is written by rename."""
        if self.is_alive:
            self.process.kill()
            self.process.join()

    def memory_mb(self) -> float:
        """Resident memory of the process; 0 where it cannot be told."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"the worker ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    more = " (killed, perhaps because the machine was out of memory)" if name == "SIGKILL" else ""
    return f"the worker was ended by {name}{more}"


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """Environment that a process started meanwhile inherits."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update({name: str(threads) for name in _THREAD_VARIABLES})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a worker from importing the driver's main script again: it needs nothing of it, and a script without the
    usual guard would start its batch anew in every worker."""
    import sys

    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        if "__file__" in kept:
            del main.__file__
        if "__spec__" in kept:
            main.__spec__ = None
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
