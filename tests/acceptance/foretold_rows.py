"""What --dry-run says beforehand, beside what the run then takes: time, disk and memory of three scenes.

``python -m tests.acceptance.foretold_rows DATA WORK [SCENE ...]`` measures some of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.cache import cache_folder
from tests.acceptance.command import ROOT
from tests.acceptance.rows import Row

_FACTOR = 1.5
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Taken:
    """What a run took, or will take."""

    seconds: float
    memory_gb: float
    disk_gb: float


def foretold_rows(data: Path, work: Path, only: tuple[str, ...] = ()) -> list[Row]:
    """Rows of each scene. What a run took here is learnt from by the next ones; the first has nothing to go by."""
    scenes: dict[str, list[str]] = {
        "fountain_p11, preset fast": ["multi_view", str(data / "fountain_p11/images"), "--preset", "fast"],
        "sample, default": ["multi_view", str(ROOT / "data/sample/images")],
        "single_images": ["single_view", str(data / "single_images")],
    }
    environment = _with_new_cache(work / "cache")
    rows = []
    for name, (pipeline, *arguments) in scenes.items():
        if name in only or not only:
            out = work / name.partition(",")[0]
            command = [sys.executable, "-m", f"pipelines.{pipeline}", *arguments, "--out", str(out), "--model", "nano"]
            said = subprocess.run(
                [*command, "--dry-run"], cwd=ROOT, check=True, env=environment, capture_output=True, text=True
            ).stdout
            rows += _rows(name, _said(said), _measured([*command, "--quiet"], out, environment))
    return rows


def _with_new_cache(cache: Path) -> dict[str, str]:
    """The environment of a machine on which nothing ran, though its loops are compiled."""
    usual = cache_folder() / "compiled"
    usual.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "compiled").exists():
        (cache / "compiled").symlink_to(usual)
    usual_environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**usual_environment, "LOTUS_RECON_CACHE": str(cache)}


def _said(text: str) -> Taken:
    """The last line of a dry run."""
    found = re.search(r"about ([\d.]+) (s|min|h) .*?, ([\d.]+) GB of memory .*?, ([\d.]+) GB of disk", text)
    assert found, text
    return Taken(float(found[1]) * _UNITS[found[2]], float(found[3]), float(found[4]))


def _measured(command: list[str], out: Path, environment: dict[str, str]) -> Taken:
    started = time.monotonic()
    process: Any = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    return Taken(seconds, usage.ru_maxrss * 1024 / 1e9, _disk_gb(out))


def _disk_gb(folder: Path) -> float:
    """What the files below a folder take; those that are one file under several names count once."""
    files = {(stat.st_dev, stat.st_ino): stat.st_size for stat in (path.stat() for path in folder.rglob("*"))}
    return sum(files.values()) / 1e9


def _rows(scene: str, said: Taken, took: Taken) -> list[Row]:
    run, asked = "foretold", f"within a factor of {_FACTOR}"
    time_ok, disk_ok = (
        max(a / b, b / a) <= _FACTOR for a, b in ((said.seconds, took.seconds), (said.disk_gb, took.disk_gb))
    )
    return [
        Row(run, f"{scene}: time", f"{said.seconds:.0f} s, took {took.seconds:.0f} s", asked, time_ok, took.seconds),
        Row(run, f"{scene}: disk", f"{said.disk_gb:.2f} GB, took {took.disk_gb:.2f} GB", asked, disk_ok),
        Row(
            run,
            f"{scene}: memory, at most",
            f"{said.memory_gb:.1f} GB, took {took.memory_gb:.1f} GB",
            "no more",
            took.memory_gb <= said.memory_gb,
        ),
    ]


if __name__ == "__main__":
    from tests.acceptance.rows import print_rows

    print_rows(foretold_rows(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:])))
