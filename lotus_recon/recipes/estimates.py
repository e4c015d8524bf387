"""How long stages will take on this machine: measured costs, corrected by what stages took here before."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lotus_recon.cache import cache_folder
from lotus_recon.progress import duration
from lotus_recon.stages import Cost, J, StageSpec, Work
from lotus_recon.workspace import write_json

_FILE = "pace.json"
_NEWEST = 0.5  # weight of the last run against those before
_SHORTEST_S = 0.5  # what takes less says nothing of the machine
_HOPELESS = 2.0  # times what a stage may take: it gives up for certain, and nearer to that it may not
_GIVING_UP_S = 5.0
_SLOWEST = 1000.0  # times the measured cost: beyond it a machine was asleep


@dataclass(frozen=True)
class Estimate:
    """What a stage will take."""

    stage: str
    seconds: float
    memory_mb: int
    disk_mb: float


@dataclass
class Pace:
    """How many times the measured cost stages take on this machine, by device; kept in the cache."""

    factors: dict[str, float] = field(default_factory=dict)  # "cpu mvs" -> times

    @classmethod
    def load(cls) -> Pace:
        """What earlier runs left; nothing where that cannot be read."""
        try:
            found = json.loads(_file().read_text())
            return cls({str(key): float(value) for key, value in found.items() if 0 < float(value) <= _SLOWEST})
        except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            return cls()

    def of(self, stage: str, device: str) -> float:
        """That of a stage; where it never ran here, the median of the others on this device, or 1."""
        others = [value for key, value in self.factors.items() if key.split()[0] == device]
        return self.factors.get(f"{device} {stage}", statistics.median(others) if others else 1.0)

    def learn(self, stage: str, device: str, expected_s: float, took_s: float) -> None:
        """Take note of what a stage took, and keep it."""
        if min(expected_s, took_s) < _SHORTEST_S:
            return
        key, now = f"{device} {stage}", min(took_s / expected_s, _SLOWEST)
        before = self.factors.get(key, now)
        self.factors[key] = round(_NEWEST * now + (1 - _NEWEST) * before, 3)
        with contextlib.suppress(OSError):  # without a cache the measured costs serve
            _file().parent.mkdir(parents=True, exist_ok=True)
            write_json(_file(), self.factors)


def _file() -> Path:
    return cache_folder() / _FILE


def estimates(
    stages: Sequence[StageSpec[J, Any]],
    job: J,
    work: Work,
    device: str,
    pace: Pace,
    due: Collection[str] | None = None,
) -> list[Estimate]:
    """What each of ``stages``, or those of them that are ``due``, will take for so much ``work``."""
    costs = {stage.name: stage.cost(job) for stage in stages}
    seconds = _seconds_of(costs, work, device, pace)
    return [
        Estimate(name, seconds[name], stage.needs.memory_mb, costs[name].disk_mb_per_megapixel * work.megapixels)
        for name, stage in zip(costs, stages, strict=True)
        if due is None or name in due
    ]


def _seconds_of(costs: Mapping[str, Cost], work: Work, device: str, pace: Pace) -> dict[str, float]:
    """Of stages in the order in which they run."""
    found: dict[str, float] = {}
    for name, cost in costs.items():
        seconds = cost.seconds_of(work) * pace.of(name, device)
        if cost.most_of_before is not None:
            most = cost.most_of_before * sum(found.values())
            seconds = _GIVING_UP_S if seconds > _HOPELESS * most else min(seconds, most)
        found[name] = seconds
    return found


class Schedule:
    """The stages of a run: which of them are due, and how long those still to come will take."""

    def __init__(
        self, stages: Sequence[StageSpec[J, Any]], due: Collection[str], job: J, work: Work, device: str
    ) -> None:
        self._names = [stage.name for stage in stages]
        self._work, self._device, self._pace = work, device, Pace.load()
        self._costs = {stage.name: stage.cost(job) for stage in stages}
        self._left = [name for name in self._names if name in due]

    def place_of(self, stage: str) -> str:
        """``4 of 12, about 3 min left``."""
        place = f"{self._names.index(stage) + 1} of {len(self._names)}"
        seconds = _seconds_of(self._costs, self._work, self._device, self._pace)
        left = sum(seconds[name] for name in self._left)
        return f"{place}, about {duration(left)} left" if stage in self._left else place

    def done(self, stage: str, took_s: float) -> None:
        """A stage ended that took so long."""
        if stage in self._left:
            self._left.remove(stage)
            self._pace.learn(stage, self._device, self._costs[stage].seconds_of(self._work), took_s)


def lines_of_estimates(found: Sequence[Estimate], out: Path) -> list[str]:
    """A line for each stage that will run, and the sums."""
    if not found:
        return ["everything is up to date"]
    memory = max(found, key=lambda each: each.memory_mb)
    disk_gb, free_gb = sum(each.disk_mb for each in found) / 1000, free_disk_gb(out)
    return [
        *(f"{each.stage:<12}{duration(each.seconds):>8}" for each in found),
        f"about {duration(sum(each.seconds for each in found))} on this machine, "
        f"{memory.memory_mb / 1000:.1f} GB of memory ({memory.stage}), "
        f"{disk_gb:.2f} GB of disk ({free_gb:.1f} GB free){'  NOT ENOUGH' if disk_gb > free_gb else ''}",
    ]


def free_disk_gb(out: Path) -> float:
    """Free disk (1e9 bytes) where a folder is, or will be made."""
    existing = next(path for path in (out.resolve(), *out.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free / 1e9
