"""Jobs spread over processes that may die: each runs one job at a time, so it is known which job went with it.

A process is replaced after a number of jobs, because renderers and file readers keep memory for good.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lotus_recon.errors import InputError, ReconError
from lotus_recon.processes import Send, WorkerProcess, wait_for_any

log = logging.getLogger(__name__)

JOBS_PER_PROCESS = 25
ATTEMPTS = 2

Job = Callable[[int], str]  # does the job of a number and returns what is worth a log line; picklable


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
    detail: str  # what the job returned, or why it was refused or failed


class StopError(ReconError):
    """Raised by a job when the others would fail too."""


def run_jobs(job: Job, numbers: Sequence[int], processes: int) -> Iterator[Outcome]:
    """Outcomes of ``job(number)`` for all ``numbers``, in the order in which they end.

    A job that raises, or whose process dies, is tried once more; after an InputError it is not. Raises StopError when a
    job does.
    """
    todo = deque((number, 1) for number in numbers)
    workers: dict[WorkerProcess, _Worker] = {}
    try:
        while todo or workers:
            while todo and len(workers) < processes:
                worker = _Worker(job)
                workers[worker.process] = worker
                worker.give(*todo.popleft())
            for process in wait_for_any(list(workers)):
                worker, (number, attempt) = workers[process], workers[process].job
                result = worker.result()
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
                    process.close(at_once=False)
                    del workers[process]
    finally:
        for process in workers:
            process.close()


@dataclass(frozen=True)
class _Result:
    end: End
    detail: str
    trace: str = ""


class _Worker:
    """A process and the job that it has in hand."""

    def __init__(self, job: Job) -> None:
        # One thread each: the processes share the CPUs, and what several threads add up depends on their order.
        self.process = WorkerProcess(_job_service, (job,), threads=1)
        self.job = (0, 0)  # number, attempt
        self._jobs_left = JOBS_PER_PROCESS

    @property
    def is_spent(self) -> bool:
        """Whether the process is dead or has done enough."""
        return self._jobs_left == 0 or not self.process.is_alive

    def give(self, number: int, attempt: int) -> None:
        self.job = (number, attempt)
        self._jobs_left -= 1
        self.process.send(number)

    def result(self) -> _Result:
        """What the process sent before it ended; of one that sent nothing, how it ended."""
        results, _ = self.process.receive()
        return results[0] if results else _Result(End.FAILED, self.process.exit_reason())


def _job_service(job: Job) -> Callable[[int, Send], None]:
    return lambda number, send: send(_attempt(job, number))


def _attempt(job: Job, number: int) -> _Result:
    try:
        return _Result(End.DONE, job(number))
    except StopError as error:
        return _Result(End.STOPS, str(error))
    except InputError as error:
        return _Result(End.REFUSED, str(error))
    except Exception as error:  # noqa: BLE001  one room of many: reported by number
        return _Result(End.FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
