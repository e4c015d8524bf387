"""What is killed, damaged or listens: the rows of docs/reliability.md that need no small disk and little memory.

``LOTUS_RECON_TRIES`` says how often each run tries (kills, scenes of the soak, sizes of a disk), ``LOTUS_RECON_SEED``
at which moments, ``LOTUS_RECON_CASES`` with which pipelines, and ``LOTUS_RECON_PART=2/4`` takes the second quarter of
the damaged files. Cases run in forks of this process (forked.py): a kill ends one as it ends a program of a user.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests.acceptance.aimed import count_events, kill_at
from tests.acceptance.forked import Run, load_libraries, start
from tests.acceptance.rows import Row
from tests.acceptance.small_cases import Case, differing, files, write_cases
from tests.recipes.test_damage import DAMAGES
from tests.sockets import Sockets, outside, sockets_below

AIMED_EVERY = 5  # of the kills, one of so many waits for a rename or a write
_WEIGHTS = {"single_view": 6, "multi_view": 5, "batch": 4, "train": 2, "evaluate": 3}
_LONGEST_WRITE_S = 0.004


def tries(default: int) -> int:
    """How often to try, as the environment says."""
    return int(os.environ.get("LOTUS_RECON_TRIES", default))


def chance() -> random.Random:
    """The moments and files of this run."""
    return random.Random(int(os.environ.get("LOTUS_RECON_SEED", "0")))


class Undisturbed:
    """A case that was run once, and what it left."""

    def __init__(self, case: Case, work: Path) -> None:
        self.case, self.folder = case, work / case.name
        out, counted = self.folder / "whole/run", self.folder / "events"
        run = case.start(out, before=count_events(out, counted))
        assert run.wait() == 0, f"{case.name}: {run.text}"
        self.cpu_seconds, self.events = run.cpu_seconds, counted.stat().st_size
        self.out, self.files = out, files(case, out)

    def fresh(self) -> Path:
        """An output folder that does not exist."""
        shutil.rmtree(self.folder / "disturbed", ignore_errors=True)
        return self.folder / "disturbed/run"

    def copy(self) -> Path:
        """An output folder that is as this run left it."""
        out = self.fresh()
        shutil.copytree(self.out.parent, out.parent)
        return out

    def faults_after(self, out: Path) -> list[str]:
        """Run the same command to its end; what is wrong then."""
        run = self.case.finish(out)
        if run.status != 0:
            return [f"status {run.status}: {last_line(run.text)}"]
        return differing(files(self.case, out), self.files)


def last_line(text: str) -> str:
    """The last words of a run."""
    return text.strip().rpartition("\n")[2][:300]


def undisturbed(work: Path, names: tuple[str, ...]) -> dict[str, Undisturbed]:
    """Cases that ran once; of the names, those that the environment asks for."""
    load_libraries()
    asked = os.environ.get("LOTUS_RECON_CASES", "").split(",")
    names = tuple(name for name in names if name in asked) or names
    return {name: Undisturbed(case, work) for name, case in write_cases(work / "inputs", names).items()}


# Kills


def kills(data: Path, work: Path) -> list[Row]:
    """SIGKILL at any moment, a fifth of them at a rename or a write; then the same command to its end."""
    whole, dice, count = undisturbed(work, tuple(_WEIGHTS)), chance(), tries(100)
    weights = [_WEIGHTS[name] for name in whole]
    done: Counter[str] = Counter()
    equal: Counter[str] = Counter()
    while done.total() < count:
        name = dice.choices(list(whole), weights)[0]
        is_aimed = done.total() % AIMED_EVERY == 0
        out = whole[name].fresh()
        if not (_aimed if is_aimed else _at_random)(whole[name], out, dice):
            continue  # it had ended before
        kind = f"{name}, at a rename or write" if is_aimed else name
        done[kind] += 1
        faults = whole[name].faults_after(out)
        equal[kind] += not faults
        if faults:
            print(f"{kind}, kill {done.total()}: {faults[:5]}", flush=True)
    rows = [_kill_row(kind, equal[kind], done[kind]) for kind in sorted(done)]
    return [_kill_row("all", equal.total(), done.total()), *rows]


def _kill_row(kind: str, equal: int, done: int) -> Row:
    return Row("kills", f"files equal after a kill, {kind}", f"{equal} of {done}", f"{done}", equal == done)


def _at_random(whole: Undisturbed, out: Path, dice: random.Random) -> bool:
    """Kill a run, or it and all that it started, when it has taken some part of the time that it takes."""
    run = whole.case.start(out)
    moment, group = dice.uniform(0, whole.cpu_seconds), dice.random() < 0.5
    while run.poll() is None and _cpu_seconds(run) < moment:
        time.sleep(0.002)
    run.kill(group)
    _end_group(run)
    return run.status == -9


def _aimed(whole: Undisturbed, out: Path, dice: random.Random) -> bool:
    number = dice.randint(1, whole.events)
    run = whole.case.start(out, before=kill_at(out, number, dice.uniform(0, _LONGEST_WRITE_S)))
    run.wait()
    _end_group(run)
    return run.status == -9


def _cpu_seconds(run: Run) -> float:
    """Of a process and those that it started."""
    total = 0.0
    try:
        for process in (parent := psutil.Process(run.pid), *parent.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
            if process is parent:
                total += times.children_user + times.children_system
    except psutil.Error:
        pass
    return total


def _end_group(run: Run) -> None:
    """Wait for what a killed process has started: it ends by itself."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError(f"processes of {run.pid} live on")


# Damage


def damage(data: Path, work: Path) -> list[Row]:
    """Every file of a finished output folder damaged in four ways, and the same command again."""
    rows = []
    for whole in undisturbed(work, tuple(_WEIGHTS)).values():
        verdicts, faults = _damage_all(whole)
        total = verdicts.total()
        counted = ", ".join(
            f"{kind} {verdicts[kind]}" for kind in ("recomputed", "untouched", "named") if verdicts[kind]
        )
        figure = f"{whole.case.name}: files emptied, cut, a list, deleted; of {total}: {counted}; wrong"
        rows.append(Row("damage", figure, str(len(faults)), "0", not faults))
        for fault in faults:
            print(f"{whole.case.name}: {fault}", flush=True)
    return rows


def _damage_all(whole: Undisturbed) -> tuple[Counter[str], list[str]]:
    """What became of each damage, and what went wrong."""
    names = sorted(path.relative_to(whole.out).as_posix() for path in whole.out.rglob("*") if path.is_file())
    part, parts = map(int, os.environ.get("LOTUS_RECON_PART", "1/1").split("/"))
    pairs = [(name, damage) for name in names for damage in DAMAGES][part - 1 :: parts]
    verdicts: Counter[str] = Counter()
    faults = []
    for name, how in pairs:
        out = whole.copy()
        DAMAGES[how](out / name)
        verdict = _after_damage(whole, out, name)
        verdicts[verdict if verdict in ("recomputed", "untouched", "named") else "wrong"] += 1
        if verdict not in ("recomputed", "untouched", "named"):
            faults.append(f"{name} {how}: {verdict}")
    return verdicts, faults


def _after_damage(whole: Undisturbed, out: Path, name: str) -> str:
    """``recomputed``, ``named``, ``untouched`` for what belongs to no result (logs), or what is wrong."""
    run = whole.case.finish(out)
    if "Traceback" in run.text or run.status not in (0, 1, 2):
        return f"status {run.status}: {last_line(run.text)}"
    if run.status:
        return "named" if str(out) in run.text else f"not named: {last_line(run.text)}"
    path = out / name
    if any(f"{lost} is missing or damaged" in run.text for lost in (path, path.parent)):
        return "named"  # what nothing makes again: pictures, metrics and earlier checkpoints of a training
    try:
        wrong = differing(files(whole.case, out), whole.files)
    except ValueError as error:  # a JSON file is still as it was damaged
        return f"left so: {error}"
    if wrong:
        return f"differs: {wrong[:5]}"
    is_result = name in whole.files or f"{out.name}/{name}" in whole.files
    return "recomputed" if is_result else "untouched"


# Sockets


def sockets(data: Path, work: Path) -> list[Row]:
    """Every socket that listens or leads somewhere while a command runs."""
    whole = undisturbed(work, ("multi_view", "batch"))
    many, scene = whole["batch"].case, whole["multi_view"]
    ray = Case("ray", many.module, (*many.arguments[:1], "--runner", "ray", "--address", "local"))
    return [
        _socket_row("multi_view", scene.case.start(scene.fresh())),
        _socket_row("batch, local", many.start(work / "local/run")),
        _socket_row("batch, Ray with --address local", ray.start(work / "ray/run"), at_least=2),
        _view_row(scene, work),
    ]


def _socket_row(what: str, run: Run, at_least: int = 0) -> Row:
    seen: Sockets = {}
    while run.poll() is None:
        seen |= sockets_below(psutil.Process(run.pid))
        time.sleep(0.05)
    assert run.status == 0, run.text
    return _sockets_row(what, seen, at_least)


def _sockets_row(what: str, seen: Sockets, at_least: int) -> Row:
    away = outside(seen)
    print(f"{what}: {sorted(away.values())}" if away else f"{what}: none outside", flush=True)
    measured = f"{len(away)} (on 127.0.0.1: {len(seen) - len(away)})"
    return Row("sockets", f"not on 127.0.0.1, {what}", measured, "0", not away and len(seen) >= at_least)


def _view_row(scene: Undisturbed, work: Path) -> Row:
    run = start("pipelines.view", [str(scene.out), "--no-open"], work / "view.txt")
    seen: Sockets = {}
    deadline = time.monotonic() + 60
    while not seen and run.poll() is None and time.monotonic() < deadline:
        seen = sockets_below(psutil.Process(run.pid))
        time.sleep(0.1)
    run.kill(group=True)
    return _sockets_row("view", seen, at_least=1)


RUNS: Mapping[str, tuple[str, Callable[[Path, Path], list[Row]]]] = {
    "kills": (".", kills),
    "damage": (".", damage),
    "sockets": (".", sockets),
}
