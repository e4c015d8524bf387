"""Jobs spread over processes that may die: each runs one job at a time, so it is known which job went with it.

A process is replaced after a number of jobs, because renderers and file readers keep memory for good.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from lotus_recon.errors import InputError, ReconError

log = logging.getLogger(__name__)

JOBS_PER_PROCESS = 25
ATTEMPTS = 2
_SECONDS_TO_END = 20
# Read by numerical libraries when they are loaded. One thread each: the processes share the CPUs, and what several
# threads add up depends on their order.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Job = Callable[[int], str]  # does the job of a number and says what is worth a log line; picklable


class End(Enum):
    """How an attempt at a job ended."""

    DONE = "done"
    REFUSED = "refused"  # InputError: another attempt would end in the same way
    FAILED = "failed"
    STOPS = "stops"


@dataclass(frozen=True)
class Outcome:
    """What became of a job after all attempts."""

    number: int
    end: End
    detail: str  # what the job said, or why it was refused or failed


class StopError(ReconError):
    """Raised by a job when the others would fail too."""


def run_jobs(job: Job, numbers: Sequence[int], processes: int) -> Iterator[Outcome]:
    """Outcomes of ``job(number)`` for all ``numbers``, in the order in which they end.

    A job that raises, or whose process dies, is tried once more; after an InputError it is not. Raises StopError when a
    job does.
    """
    todo = deque((number, 1) for number in numbers)
    team: list[_Worker] = []
    try:
        while todo or team:
            while todo and len(team) < processes:
                team.append(_Worker(job))
                team[-1].give(*todo.popleft())
            for worker in _ready(team):
                result = worker.result()
                number, attempt = worker.job
                if result.end is End.STOPS:
                    raise StopError(result.detail)
                if result.end is not End.FAILED or attempt == ATTEMPTS:
                    yield Outcome(number, result.end, result.detail)
                else:
                    log.warning("%d failed and is tried again: %s", number, result.detail)
                    log.debug("%s", result.trace)
                    todo.append((number, attempt + 1))
                if todo and not worker.is_spent:
                    worker.give(*todo.popleft())
                else:
                    worker.dismiss()
                    team.remove(worker)
    finally:
        for worker in team:
            worker.kill()


@dataclass(frozen=True)
class _Result:
    end: End
    detail: str
    trace: str = ""


class _Worker:
    """A process and the job that it has in hand."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share the state of libraries with threads
        self.connection, theirs = context.Pipe()
        self.job = (0, 0)  # number, attempt
        self._jobs_left = JOBS_PER_PROCESS
        self._process: BaseProcess = context.Process(target=_work, args=(job, theirs), daemon=True)
        with _environment(_ONE_THREAD):
            self._process.start()
        theirs.close()  # else its end would not be noticed here

    @property
    def is_spent(self) -> bool:
        """Whether the process is dead or has done enough."""
        return self._jobs_left == 0 or not self._process.is_alive()

    def give(self, number: int, attempt: int) -> None:
        self.job = (number, attempt)
        self._jobs_left -= 1
        with contextlib.suppress(BrokenPipeError):  # a dead process shows when its result is read
            self.connection.send(number)

    def result(self) -> _Result:
        """What the process sent; waits."""
        try:
            result: _Result = self.connection.recv()
            return result
        except (EOFError, ConnectionResetError):
            self._process.join()
            return _Result(End.FAILED, f"its process ended with status {self._process.exitcode}")

    def dismiss(self) -> None:
        """Let the process end; one that hangs while it takes its libraries down is killed."""
        self.connection.close()
        self._process.join(_SECONDS_TO_END)
        self._process.kill()

    def kill(self) -> None:
        """End the process now."""
        self.connection.close()
        self._process.kill()
        self._process.join()


def _ready(team: Sequence[_Worker]) -> list[_Worker]:
    """Workers that have something to say or have died; waits for the first."""
    heard = wait([worker.connection for worker in team])
    return [worker for worker in team if worker.connection in heard]


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(job: Job, connection: Connection) -> None:
    """What a process does: jobs until the connection is closed, which happens too when the main process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process ends this one
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(_attempt(job, connection.recv()))


def _attempt(job: Job, number: int) -> _Result:
    try:
        return _Result(End.DONE, job(number))
    except StopError as error:
        return _Result(End.STOPS, str(error))
    except InputError as error:
        return _Result(End.REFUSED, str(error))
    except Exception as error:  # noqa: BLE001  one room of many: reported by number
        return _Result(End.FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
