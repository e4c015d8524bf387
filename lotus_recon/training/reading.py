"""Reading a data set that may have a few broken samples, and reading ahead."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from lotus_recon.errors import InputError

log = logging.getLogger(__name__)

# Unusable samples: a few are skipped, more mean that the data set is broken.
_MOST_UNUSABLE = 0.01
_FEWEST_EVIDENCE = 3  # unusable samples from which a share is estimated
_MOST_UNUSABLE_IN_A_ROW = 16
_NAMES_SHOWN = 5

Item = TypeVar("Item")
Read = TypeVar("Read")
ReadCo = TypeVar("ReadCo", covariant=True)
Task = TypeVar("Task")
Result = TypeVar("Result")


class Readable(Protocol[ReadCo]):
    """What samples are read from: a training set, or one whose samples are kept."""

    def __len__(self) -> int:
        """See ``TrainingSet``."""
        ...

    def name(self, index: int) -> str:
        """See ``TrainingSet``."""
        ...

    def load(self, index: int) -> ReadCo:
        """See ``TrainingSet``."""
        ...


@dataclass(frozen=True, eq=False)
class Usable(Generic[Item]):
    """What was prepared from a sample, and the unusable samples that were skipped before it."""

    item: Item
    index: int  # of the sample
    unusable: Mapping[int, tuple[str, str]]  # samples before it that could not be used: index -> name, why


def first_usable(
    dataset: Readable[Read], indices: Iterable[int], prepare: Callable[[Read], Item], where: str
) -> Usable[Item]:
    """The first of the samples that can be loaded and prepared. Raises InputError after 16 unusable ones."""
    unusable: dict[int, tuple[str, str]] = {}
    for index in islice(indices, _MOST_UNUSABLE_IN_A_ROW):
        try:
            return Usable(prepare(dataset.load(index)), index, unusable)
        except InputError as error:
            unusable[index] = dataset.name(index), str(error)
    raise InputError(f"{where}: no usable sample in a row of {len(unusable)}; {_listed(unusable)}")


class Ledger:
    """The samples of a data set that were read, and those among them that could not be used."""

    def __init__(self, where: str, length: int) -> None:
        """``length``: how many samples the data set has."""
        self.where = where
        self.length = length
        self.read: set[int] = set()
        self.unusable: dict[int, tuple[str, str]] = {}

    def enter(self, usable: Usable) -> None:
        """Record a read, log its unusable samples, and raise InputError when the data set has too many of them."""
        self.read |= {usable.index, *usable.unusable}
        for index, (name, why) in usable.unusable.items():
            if index not in self.unusable:
                log.warning("skipping %s of %s: %s", name, self.where, why)
                self.unusable[index] = name, why
        if too_many := self._too_many():
            raise InputError(
                f"{self.where}: {too_many} cannot be used; allowed: {_MOST_UNUSABLE:.0%}. {_listed(self.unusable)}"
            )

    def _too_many(self) -> str | None:
        """Describes a share of unusable samples that is certainly, or by three standard deviations, above the limit."""
        count, read = len(self.unusable), len(self.read)
        if count > _MOST_UNUSABLE * self.length:
            return f"{count} of its {self.length} samples"
        expected = _MOST_UNUSABLE * read
        if count >= _FEWEST_EVIDENCE and count > expected + 3 * math.sqrt(expected):  # three standard deviations
            return f"{count} of the {read} samples read ({count / read:.1%})"
        return None


def _listed(unusable: Mapping[int, tuple[str, str]]) -> str:
    """Names and errors of the first few unusable samples."""
    shown = [f"{name} ({why})" for name, why in islice(unusable.values(), _NAMES_SHOWN)]
    return f"unusable: {', '.join(shown)}{', ...' if len(unusable) > len(shown) else ''}"


def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, ahead: int
) -> Generator[Result, None, None]:
    """``work`` of each task, in the order of the tasks; threads do the next ``ahead`` of them in the meantime."""
    tasks = iter(tasks)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        pending = deque(pool.submit(work, task) for task in islice(tasks, max(ahead, 2 * workers)))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(work, task) for task in islice(tasks, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
