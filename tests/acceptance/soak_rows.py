"""Thousands of scenes in one batch, a fault in every 50th: what becomes of the others, of memory and of descriptors."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.acceptance.reliability_rows import tries
from tests.acceptance.rows import Row
from tests.runners.scenes import ROOT, command, contents, records, write_manifest, write_photo

FAULT_EVERY = 50
_KINDS = 8  # of good scenes; the others are copies by name
_FLAT = 1.1  # of memory and descriptors: the last third of a run beside the third before it


@dataclass
class Use:
    """Memory and descriptors of a batch with all its processes, over time."""

    memory_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, driver: psutil.Process) -> None:
        """Add what they are now."""
        memory, descriptors = 0, 0
        try:
            for process in (driver, *driver.children(recursive=True)):
                memory += process.memory_info().rss
                descriptors += process.num_fds()
        except psutil.Error:  # one ends
            return
        self.memory_mb.append(memory / (1 << 20))
        self.descriptors.append(descriptors)


def soak(data: Path, work: Path) -> list[Row]:
    """``LOTUS_RECON_TRIES`` scenes (5,000) of a photo each on one worker."""
    count = tries(5000)
    scenes, faulty = _scenes(work, count)
    driver = subprocess.Popen(command(write_manifest(work, scenes), work / "out", "--workers", "1"), cwd=ROOT)
    use, process, started = Use(), psutil.Process(driver.pid), time.monotonic()
    while driver.poll() is None:
        use.look(process)
        time.sleep(0.5)
    seconds = time.monotonic() - started
    found = records(work / "out")
    done = {name for name, record in found.items() if record["status"] == "done"}
    others = {scene["name"] for scene in scenes} - faulty
    named = sum(record["status"] == "failed" and bool(record["message"]) for record in found.values())
    wrong = _differing(work / "out", others)
    return [
        Row("soak", "other scenes done", f"{len(done & others)} of {len(others)}", "all", done == others, seconds),
        Row("soak", "scenes with a fault that are named so", f"{named} of {len(faulty)}", "all", named == len(faulty)),
        Row("soak", "files of others that differ from those of another name", f"{wrong}", "0", wrong == 0),
        _flat_row("memory, MB", use.memory_mb),
        _flat_row("descriptors", use.descriptors),
        Row("soak", "exit status", f"{driver.returncode}", "1", driver.returncode == 1),
    ]


def _scenes(work: Path, count: int) -> tuple[list[dict[str, Any]], set[str]]:
    """Entries of a manifest, and the names of those that cannot work."""
    good = [write_photo(work, f"good{i}") for i in range(_KINDS)]
    broken = [_broken(write_photo(work, f"broken{i}"), work, i) for i in range(4)]
    scenes, faulty = [], set[str]()
    for i in range(count):
        is_faulty = i % FAULT_EVERY == FAULT_EVERY - 1
        of = broken[i // FAULT_EVERY % len(broken)] if is_faulty else good[i % _KINDS]
        scenes.append({**of, "name": f"s{i:05d}"})
        if is_faulty:
            faulty.add(f"s{i:05d}")
    return scenes, faulty


def _broken(scene: dict[str, Any], work: Path, kind: int) -> dict[str, Any]:
    """A scene with a cut photo, with pixels that break off, without maps, or with a map that is none."""
    photo, stored = work / scene["images"], work / scene["predictions"] / "photo.npz"
    if kind == 0:
        photo.write_bytes(photo.read_bytes()[:20])
    elif kind == 1:
        photo.write_bytes(photo.read_bytes()[:300])
    elif kind == 2:
        stored.unlink()
        (stored.parent / "other.npz").touch()
    else:
        np.savez(stored, depth=np.zeros((3, 3), np.float32))
    return scene


def _differing(out: Path, others: set[str]) -> int:
    """Files that differ from those of the first scene of the same photo."""
    first: dict[int, dict[str, Any]] = {}
    wrong = 0
    for name in sorted(others):
        one = out.parent / "one"
        shutil.rmtree(one, ignore_errors=True)
        shutil.copytree(out / name, one / "scene" / "x")
        # The name of the scene is in its log and its record only, which are not compared.
        holds = {path: _anonymous(value, out / name) for path, value in contents(one / "scene").items()}
        same = first.setdefault(int(name[1:]) % _KINDS, holds)
        wrong += sum(holds.get(path) != same.get(path) for path in holds.keys() | same.keys())
    return wrong


def _anonymous(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _anonymous(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_anonymous(item, folder) for item in value]
    return value.replace(str(folder), "OUT").replace(folder.name, "NAME") if isinstance(value, str) else value


def _flat_row(what: str, measured: list[float] | list[int]) -> Row:
    third = len(measured) // 3
    before, last = (float(np.median(measured[part])) for part in (slice(third, 2 * third), slice(2 * third, None)))
    text = f"{before:.0f}, then {last:.0f}"
    return Row("soak", f"{what}, in the second third of the run and in the last", text, "flat", last <= _FLAT * before)


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {"soak": (".", soak)}
