"""Batches that are killed at random moments, again and again, and what must be left in the end."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.runners.scenes import contents, run_ids

Driver = subprocess.Popen[str]
Kill = Callable[[Driver], bool]  # whether there was something to kill


@dataclass
class Disturbance:
    """Kills over one batch, which is started again whenever it ended."""

    start: Callable[[], Driver]
    out: Path
    kinds: Mapping[str, Kill]
    chance: random.Random
    longest_pause: float  # seconds between two kills, so that some fall into the start and some into the work
    ends_driver: frozenset[str] = frozenset()  # kinds that may take the driver with them
    killed: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, str] = field(default_factory=dict)  # runs of stages that were once finished

    def kill(self, times: int) -> None:
        """Kill one kind after another, in random order, and let the batch come to its end."""
        driver, suffered = self.start(), set[str]()
        while self.killed.total() < times:
            time.sleep(self.chance.uniform(0, self.chance.choice([0.5, self.longest_pause])))
            self._look()
            if driver.poll() is not None:
                is_expected = driver.returncode in (0, -signal.SIGKILL) or suffered & self.ends_driver
                assert is_expected, driver.communicate()[1]
                if driver.returncode == 0:
                    self._undo_a_scene()
                driver, suffered = self.start(), set()
                continue
            kind = self.chance.choice(sorted(self.kinds))
            if self.kinds[kind](driver):
                self.killed[kind] += 1
                suffered.add(kind)
        if driver.poll() is None:
            _, errors = driver.communicate(timeout=200)
            assert driver.returncode == 0 or suffered & self.ends_driver, errors
        self._look()

    def _look(self) -> None:
        self._seen |= run_ids(self.out) if self.out.exists() else {}

    def _undo_a_scene(self) -> None:
        """All was done before the last kill: give the batch something to do, as a user might."""
        undone = self.chance.choice(sorted(path.name for path in self.out.iterdir() if (path / "scene.json").exists()))
        shutil.rmtree(self.out / undone)
        self._seen = {stage: run for stage, run in self._seen.items() if not stage.startswith(f"{undone}/")}

    def check(self, undisturbed: Path) -> None:
        """Every scene is complete, as in an undisturbed run, and nothing that was finished ran twice."""
        assert contents(self.out) == contents(undisturbed)
        after = run_ids(self.out)
        assert {stage for stage in self._seen if self._seen[stage] != after[stage]} == set(), "ran twice"


def kill_driver(driver: Driver) -> bool:
    driver.kill()
    driver.wait()
    return True
