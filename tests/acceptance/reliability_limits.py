"""Disks that are full and memory that ends: rows of docs/reliability.md, told as reliability_rows.py is."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.command import ROOT
from tests.acceptance.forked import Run
from tests.acceptance.reliability_rows import Undisturbed, last_line, tries, undisturbed
from tests.acceptance.rows import Row
from tests.acceptance.small_cases import Case, differing, files

_ON_DISKS = ("single_view", "all_stages", "batch", "train", "evaluate")
_IN_MEMORY = ("single_view", "multi_view", "batch", "train", "evaluate")
_LEVELS_MB = (700, 1450, 1700, 2000, 2500)  # of address space: from less than libraries map to what runs take
_GROUP_MB = (150, 200, 300)
_FULL = re.compile(r"is full|no space left", re.IGNORECASE)
_RUNNING = re.compile(r"^([\w -]+): running$", re.MULTILINE)


@dataclass(frozen=True)
class Disk:
    """A disk in memory, of any size."""

    folder: Path

    def resize(self, **options: object) -> None:
        """Change its ``size`` (such as "40k") or ``nr_inodes``, or make it ``ro=True``."""
        words = [name if value is True else f"{name}={value}" for name, value in options.items()]
        subprocess.run(["mount", "-o", ",".join(["remount", *words]), self.folder], check=True)

    def clear(self) -> None:
        """Take everything away."""
        subprocess.run(["find", self.folder, "-mindepth", "1", "-delete"], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Mount one. Raises CalledProcessError where only the superuser may."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


# Full disks


def full_disk(data: Path, work: Path) -> list[Row]:
    """Every pipeline on a disk that is full, then a little larger, until there is room; likewise for inodes."""
    try:
        with small_disk(work / "disk"):
            pass
    except subprocess.CalledProcessError:
        return [Row("full-disk", "small disks", "none can be mounted here", "", None)]
    rows = []
    for whole in undisturbed(work, _ON_DISKS).values():
        paths = [*whole.out.rglob("*")]
        kb = sum(4 + path.stat().st_size // 1024 for path in paths)
        with small_disk(work / f"{whole.case.name}-disk/disk") as disk:
            rows.append(_grown(whole, disk, "size", "k", kb))
            disk.clear()
            disk.resize(size="100m")
            rows.append(_grown(whole, disk, "nr_inodes", "", len(paths)))
            rows.append(_read_only(whole, disk))
    return rows


def _grown(whole: Undisturbed, disk: Disk, option: str, unit: str, total: int) -> Row:
    """Run the command on a disk that grows in so many steps, until it is done."""
    met: Counter[str] = Counter()
    faults: list[str] = []
    steps = tries(40)
    for amount in itertools.count(1 + total // steps, 1 + total // steps):
        disk.resize(**{option: f"{amount}{unit}"})
        run = whole.case.finish(disk.folder / "run")
        if run.status == 0:
            break
        met[_stage_of(run)] += 1
        faults += [f"{option} {amount}: {fault}" for fault in _faults_of_words(run, whole.case)]
    faults += [f"in the end: {name}" for name in differing(files(whole.case, disk.folder / "run"), whole.files)[:5]]
    for fault in faults:
        print(f"{whole.case.name}: {fault}", flush=True)
    where = f" ({', '.join(f'{stage} {count}' for stage, count in met.items())})" if len(met) > 1 else ""
    figure = f"{whole.case.name}: {'full' if option == 'size' else 'no inode left'} {met.total()} times{where}; wrong"
    return Row("full-disk", figure, str(len(faults)), "0", not faults and met.total() > 0)


def _stage_of(run: Run) -> str:
    """The stage in which a run ended."""
    stages = _RUNNING.findall(run.text)
    return stages[-1].split()[-1] if stages else "start"


def _faults_of_words(run: Run, case: Case) -> list[str]:
    """What is wrong with the end of a run that met a full disk."""
    text, lines = run.text, [line for line in run.text.splitlines() if line.startswith("error:")]
    if run.status not in (1, 2) or "Traceback" in text:
        return [f"status {run.status}: {text[-700:]}"]
    if not _FULL.search(text) or (case.name != "batch" and len(lines) != 1):
        return [f"{len(lines)} lines of errors: {text[-700:]}"]
    return []


def _read_only(whole: Undisturbed, disk: Disk) -> Row:
    """What a run says in a folder that cannot be written."""
    disk.resize(ro=True)
    run = whole.case.finish(disk.folder / "run")
    disk.resize(rw=True)
    is_named = run.status == 2 and "Traceback" not in run.text and str(disk.folder) in run.text
    measured = f"status {run.status}: {last_line(run.text).replace(str(disk.folder), 'OUT')[:90]}"
    return Row("full-disk", f"{whole.case.name}: a read-only folder", measured, "status 2, named", is_named)


# Little memory


def memory(data: Path, work: Path) -> list[Row]:
    """Every pipeline under ``ulimit -v`` at five levels, and in a control group where one can be made."""
    rows = []
    for whole in undisturbed(work, _IN_MEMORY).values():
        rows.append(_memory_row(whole, f"ulimit -v {list(_LEVELS_MB)} MB", [_as_limit(mb) for mb in _LEVELS_MB]))
        with _control_group() as group:
            if group is not None:
                groups = [_group_limit(group, mb) for mb in _GROUP_MB]
                rows.append(_memory_row(whole, f"control group {list(_GROUP_MB)} MB", groups))
    return rows


def _memory_row(whole: Undisturbed, what: str, limits: list[Callable[[], None]]) -> Row:
    verdicts: Counter[str] = Counter()
    for limit in limits:
        out = whole.fresh()
        done = _program(whole.case, out, limit)
        verdict = _memory_verdict(whole, out, done)
        verdicts[verdict] += 1
        if verdict == "wrong":
            print(f"{whole.case.name}, {what}: status {done.returncode}: {done.stderr[-1500:]}", flush=True)
    counted = ", ".join(f"{kind}: {count}" for kind, count in verdicts.items())
    is_ok = set(verdicts) <= {"done", "words and status 1", "words and status 2"}
    return Row("memory", f"{whole.case.name}, {what}", counted, "done, or words and 1 or 2", is_ok)


def _memory_verdict(whole: Undisturbed, out: Path, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return "done" if not differing(files(whole.case, out), whole.files) else "wrong"
    is_said = "memory" in done.stderr and "Traceback" not in done.stderr
    return f"words and status {done.returncode}" if is_said else "wrong"


def _program(case: Case, out: Path, limit: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """A case as a user starts it: what it loads counts."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", case.module, *case.words(out), "--quiet"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit)


def _as_limit(mb: float) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (int(mb) << 20,) * 2)


@contextlib.contextmanager
def _control_group() -> Iterator[Path | None]:
    """A control group of memory (version 1 or 2), or None where none can be made."""
    parents = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
    parent = next((p for p in parents if (p / "cgroup.procs").exists()), None)
    group = parent / f"lotus-recon-{os.getpid()}" if parent else None
    try:
        if group is not None:
            group.mkdir()
    except OSError:
        group = None
    try:
        yield group
    finally:
        if group is not None:
            group.rmdir()


def _group_limit(group: Path, mb: int) -> Callable[[], None]:
    def join() -> None:
        name = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        (group / name).write_text(str(mb << 20))
        (group / "cgroup.procs").write_text(str(os.getpid()))

    return join


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "full-disk": (".", full_disk),
    "memory": (".", memory),
}
