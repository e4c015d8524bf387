"""Readers on broken files, in a child with limits of memory and time, and what became of each input."""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from lotus_recon.errors import ReconError
from lotus_recon.measuring import peak_memory_mb, reset_peak_memory
from tests.fuzz.mutations import break_one
from tests.fuzz.sanity import check_sane

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 20.0
MEMORY_MB = 2000.0
_START_SECONDS = 240.0  # libraries are loaded, on a machine that may be busy
CHILD = "from tests.fuzz.running import main; main()"
_READY = "ready"  # what a child says before its first input
_FAULTS = ("traceback", "crash", "hang", "memory", "wrong")


@dataclass
class Tally:
    """What became of the inputs of a reader."""

    reader: str
    counts: Counter[str] = field(default_factory=Counter)  # read | refused | one of the faults
    details: list[str] = field(default_factory=list)  # of the faults: input, and what happened

    @property
    def faults(self) -> int:
        """Inputs that were neither read nor refused in words."""
        return sum(self.counts[fault] for fault in _FAULTS)

    def add(self, verdict: str, detail: str) -> None:
        """Count an input."""
        self.counts[verdict] += 1
        if verdict in _FAULTS:
            self.details.append(f"{verdict}: {detail}")


def fuzz(name: str, inputs: int, seed: int = 0, keep: Path | None = None) -> Tally:
    """Give ``inputs`` broken files to the reader ``name``; those that meet a fault are kept in the folder ``keep``."""
    tally, first = Tally(name), 0
    while first < inputs:
        first = _one_child(tally, first, inputs, seed, keep)
    return tally


def _one_child(tally: Tally, first: int, inputs: int, seed: int, keep: Path | None) -> int:
    """Inputs in one child until one ends it; the number of the next one."""
    command = [sys.executable, "-c", CHILD, tally.reader, str(first), str(inputs), str(seed)]
    pipes: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "bufsize": 0}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen([*command, str(keep or "")], stderr=errors, **pipes) as child,
    ):
        at, buffer, limit = first - 1, b"", _START_SECONDS
        assert child.stdout is not None
        while at + 1 < inputs:
            if not select.select([child.stdout], [], [], limit)[0]:
                child.kill()
                tally.add("hang", f"input {at + 1}: more than {limit:.0f} s")
                return at + 2
            chunk = child.stdout.read(65536)
            if not chunk:
                break
            limit = HANG_SECONDS + 5
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                at, verdict, detail = json.loads(line)
                if verdict != _READY:
                    tally.add(verdict, f"input {at}: {detail}")
        child.wait()
        if at + 1 < inputs:
            errors.seek(0)
            said = errors.read().strip()[-600:]
            if at < first and child.returncode == 1:
                raise RuntimeError(f"{tally.reader}: the child did not start: {said}")
            tally.add("crash", f"input {at + 1}: status {child.returncode}: {said}")
        return at + 2


def _child(name: str, first: int, inputs: int, seed: int, keep: Path | None) -> None:
    """What the child does: a line for each input."""
    from tests.fuzz.readers import READERS

    reader = READERS[name]
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no verdict
    with tempfile.TemporaryDirectory() as folder, mock.patch("lotus_recon.sandbox.attempt", _attempt_by_fork):
        valid = Path(folder) / "valid"
        valid.mkdir()
        reader.write(valid)
        if reader.library:
            importlib.import_module(reader.library)
        check_sane(reader.read(valid))  # loads the libraries, too
        limit_memory()
        print(json.dumps([first - 1, _READY, ""]), file=out, flush=True)
        for i in range(first, inputs):
            verdict = _verdict(reader.read, valid, Path(folder) / "broken", random.Random(f"{seed} {name} {i}"))
            if keep is not None and verdict[0] in _FAULTS:
                shutil.copytree(Path(folder) / "broken", keep / f"{name}-{i}", dirs_exist_ok=True)
            print(json.dumps([i, *verdict]), file=out, flush=True)


def limit_memory() -> None:
    """Allocations beyond what is there now and the limit raise MemoryError."""
    from lotus_recon.sandbox import _data_bytes

    most = _data_bytes() + (int(MEMORY_MB) << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _verdict(read: Callable[[Path], Any], valid: Path, broken: Path, chance: random.Random) -> tuple[str, str]:
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(valid, broken)
    where = break_one(broken, chance).relative_to(broken)
    reset_peak_memory()
    before, started = peak_memory_mb(), time.monotonic()
    try:
        check_sane(read(broken))
        verdict = "read", ""
    except AssertionError as error:
        verdict = "wrong", f"{where}: {error}"
    except ReconError:
        verdict = "refused", ""
    except MemoryError:
        verdict = "memory", f"{where}: {traceback.format_exc()[-500:]}"
    except Exception:  # noqa: BLE001  whatever a reader raises is a finding
        verdict = "traceback", f"{where}: {traceback.format_exc()[-900:]}"
    if peak_memory_mb() - before > MEMORY_MB:
        return "memory", f"{where}: {peak_memory_mb() - before:.0f} MB"
    if time.monotonic() - started > HANG_SECONDS:
        return "hang", f"{where}: {time.monotonic() - started:.0f} s"
    return verdict


def _attempt_by_fork(code: str, timeout_s: float) -> Any:
    """As ``native.attempt``, by a fork of this process: libraries need not be loaded for each of thousands of files."""

    from lotus_recon.native import Outcome

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(int(timeout_s))
            exec(code, {})  # the code of arrays_in_child
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  it is what the other process says
            os.write(writing, f"{type(error).__name__}: {error}".encode()[:4000])
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode(errors="replace")
    status = os.waitpid(child, 0)[1]
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if status == 0:
        return Outcome(None)
    return Outcome(signal.Signals(number).name if number else text or "status 1")


def arguments() -> list[str]:
    """Reader, first input, number of inputs, seed, and the folder to keep faults in: what a child is told."""
    return sys.argv[1:]


def main() -> None:
    """The child."""
    name, first, inputs, seed, keep = arguments()
    _child(name, int(first), int(inputs), int(seed), Path(keep) if keep else None)
