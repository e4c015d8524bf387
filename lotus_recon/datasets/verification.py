"""Preparing a training set and finding, by name, what of it is missing, half extracted or broken."""

from __future__ import annotations

import functools
import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from lotus_recon.datasets.reading import h5py, require_file
from lotus_recon.datasets.samples import TrainingSet
from lotus_recon.errors import InputError
from lotus_recon.progress import track

Argument = TypeVar("Argument")

_CHUNK = 8  # samples handed to a process at a time
# The last bytes of a complete file; a transfer or an extraction that was interrupted lacks them.
_ENDINGS = {".png": b"IEND", ".jpg": b"\xff\xd9"}
_ENDING_WINDOW = 64  # some writers append a few bytes


@runtime_checkable
class ListedSet(Protocol):
    """A training set that names the files of a sample, so that they can be looked at without reading the sample."""

    def files(self, index: int) -> tuple[Path, ...]:
        """The files that a sample is read from."""
        ...


@runtime_checkable
class PreparableSet(Protocol):
    """A training set with something that is computed once, before training."""

    def is_prepared(self, index: int) -> bool:
        """Whether it was computed for a sample."""
        ...

    def prepare(self, index: int) -> None:
        """Compute and store it."""
        ...


@dataclass(frozen=True)
class Problem:
    """A sample that cannot be used."""

    sample: str
    reason: str

    @property
    def group(self) -> str:
        """Scene or folder that the sample belongs to: its name without the last part."""
        return self.sample.rpartition("/")[0] or self.sample


def check_files(training_set: TrainingSet, workers: int) -> list[Problem]:
    """Samples with files that are missing, empty or cut off; sets that name no files are read instead."""
    if not isinstance(training_set, ListedSet):
        return check_samples(training_set, workers)
    check = functools.partial(_file_problem, training_set)
    with ThreadPoolExecutor(workers) as pool:
        return _problems(training_set, list(range(len(training_set))), check, pool, "looking at files")


def check_samples(training_set: TrainingSet, workers: int) -> list[Problem]:
    """Samples that cannot be read, or hold nothing valid; every file is opened."""
    return _by_processes(training_set, list(range(len(training_set))), _load_problem, workers, "reading samples")


def prepare(training_set: TrainingSet, skip: frozenset[str], workers: int) -> tuple[int, list[Problem]]:
    """Compute and store derived data of the samples that lack it and whose name is not in ``skip``.

    Returns how many were computed and the ones that failed.
    """
    if not isinstance(training_set, PreparableSet):
        return 0, []
    names = [training_set.name(index) for index in range(len(training_set))]
    todo = [index for index, name in enumerate(names) if name not in skip and not training_set.is_prepared(index)]
    failed = _by_processes(training_set, todo, _prepare_problem, workers, "preparing")
    return len(todo) - len(failed), failed


def by_group(problems: list[Problem]) -> dict[str, list[Problem]]:
    """Problems by the scene or folder they are in, in the order given."""
    groups: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.group].append(problem)
    return dict(groups)


def check_complete(path: Path) -> None:
    """Raise InputError when a file is missing, empty or visibly cut off. Its content is not decoded."""
    require_file(path)
    if path.suffix == ".hdf5":
        try:
            h5py().File(path, "r").close()
        except OSError as error:
            raise InputError(f"{path} is no complete HDF5 file: {error}") from error
        return
    ending = _ENDINGS.get(path.suffix.lower())
    if ending is None:
        return
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _ENDING_WINDOW))
        if ending not in file.read():
            raise InputError(f"{path} is cut off: the end of the image is missing")


def _file_problem(training_set: ListedSet, index: int) -> str | None:
    reasons = [_reason(check_complete, path) for path in training_set.files(index)]
    return "; ".join(reason for reason in reasons if reason) or None


def _load_problem(training_set: TrainingSet, index: int) -> str | None:
    return _reason(training_set.load, index)


def _prepare_problem(training_set: TrainingSet, index: int) -> str | None:
    assert isinstance(training_set, PreparableSet)  # by ``prepare``
    return _reason(training_set.prepare, index)


def _reason(work: Callable[[Argument], object], argument: Argument) -> str | None:
    """The message of the InputError that some work raises, or None."""
    try:
        work(argument)
    except InputError as error:
        return str(error)
    return None


def _by_processes(
    training_set: TrainingSet,
    indices: list[int],
    check: Callable[[TrainingSet, int], str | None],
    workers: int,
    what: str,
) -> list[Problem]:
    """Problems of the samples ``indices``, found by several processes, or in this process if ``processes`` is 1."""
    bound = functools.partial(check, training_set)
    if workers == 1 or len(indices) <= _CHUNK:
        return _problems(training_set, indices, bound, None, what)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (bound,)) as pool:
        return _problems(training_set, indices, _bound_check, pool, what)


_check_of_process: Callable[[int], str | None] | None = None


def _start(check: Callable[[int], str | None]) -> None:
    """Give a new process the check once, with the list of files in it, rather than with every sample."""
    global _check_of_process
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the starting process ends this one
        signal.signal(number, signal.SIG_IGN)
    _check_of_process = check


def _bound_check(index: int) -> str | None:
    assert _check_of_process is not None  # by _start
    return _check_of_process(index)


def _problems(
    training_set: TrainingSet,
    indices: list[int],
    check: Callable[[int], str | None],
    pool: Executor | None,
    what: str,
) -> list[Problem]:
    reasons: Iterator[str | None] = map(check, indices) if pool is None else pool.map(check, indices, chunksize=_CHUNK)
    tracked = track(reasons, what, len(indices))
    return [Problem(training_set.name(index), reason) for index, reason in zip(indices, tracked, strict=True) if reason]
