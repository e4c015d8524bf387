"""Ctrl-C, SIGTERM, SIGHUP: a word within a second, the truth about what runs again, an end at once if asked twice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lotus_recon.recipes.table import MULTI_VIEW
from pipelines import signals
from tests.runners.scenes import ROOT, contents, write_textured

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANSWER_SECONDS = 1.0
PLACE = r" \(\d+ of \d+(?:, about [\w. ]+ left)?\)"  # of a stage in a run, behind its name in the log

HOLDING = "sum(range(10**12))"  # C code that gives the interpreter to nobody, for an hour
WAITING = "time.sleep(600)"


class Run:
    """A process whose lines on stderr are kept with the time at which they came."""

    def __init__(self, *arguments: str, before: str = "") -> None:
        command = [sys.executable, *arguments]
        if before:
            command = ["sh", "-c", f'{before} exec "$@"', "sh", *command]
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        # A suite that a shell runs in the background ignores Ctrl-C, and so would what it starts.
        pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes)
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def wait_for(self, pattern: str, seconds: float = 120.0) -> tuple[float, str]:
        """The first line in which ``pattern`` is found, and when it came."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if re.search(pattern, line[1]):
                    return line
            if self.process.poll() is not None:
                self._reader.join()
                if not any(re.search(pattern, text) for _, text in self.lines):
                    break
            time.sleep(0.005)
        raise AssertionError(f"{pattern!r} is not in {self.text}")

    def send(self, number: signal.Signals) -> float:
        """Send a signal; when."""
        sent = time.monotonic()
        self.process.send_signal(number)
        return sent

    def end(self, seconds: float = 60.0) -> int:
        """The exit status."""
        status = self.process.wait(seconds)
        self._reader.join(10)
        return status

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.lines)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Runs that end with the test."""
    begun: list[Run] = []
    yield begun
    for run in begun:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def toy(work: str, runs: list[Run], first: str = "", before: str = "") -> Run:
    """A pipeline that does nothing but ``work``, and is there."""
    code = (
        "import sys, threading, time\nfrom lotus_recon.interruption import doing\n"
        "from pipelines.command_line import main\n"
        f"def run(argv):\n    {first or 'pass'}\n"
        "    with doing('the toy', 'it starts again'):\n        print('ready', file=sys.stderr)\n"
        f"        {work}\n    return 0\n"
        "main(run)"
    )
    run = Run("-c", code, before=before)
    runs.append(run)
    run.wait_for("ready")
    time.sleep(0.2)  # the line comes before the work
    return run


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_answered_while_native_code_holds_the_interpreter(number: signal.Signals, runs: list[Run]) -> None:
    run = toy(HOLDING, runs)
    sent = run.send(number)
    came, said = run.wait_for("stopping after", 5)
    assert came - sent < ANSWER_SECONDS
    assert said == "stopping after the toy; the same command resumes: it starts again. A second one stops at once."
    time.sleep(1.0)
    assert run.process.poll() is None, "native code cannot be left before it comes back"
    sent = run.send(number)
    assert run.end(5) == -signal.SIGKILL
    assert time.monotonic() - sent < 2
    assert "stopped at once" in run.text


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_python_with_its_status_and_a_word(number: signal.Signals, runs: list[Run]) -> None:
    run = toy(WAITING, runs)
    run.send(number)
    assert run.end(5) == 128 + number
    assert "stopping after the toy" in run.text
    end = f"error: interrupted by {number.name} in the toy; the same command resumes: it starts again"
    assert run.lines[-1][1] == end
    assert "Traceback" not in run.text


def test_a_second_signal_does_not_wait_for_what_the_first_one_waits_for(runs: list[Run]) -> None:
    run = toy("\n        ".join(("try:", f"    {WAITING}", "finally:", f"    {WAITING}")), runs)
    run.send(signal.SIGINT)
    run.wait_for("stopping after")
    time.sleep(1.0)
    assert run.process.poll() is None
    run.send(signal.SIGINT)
    assert run.end(5) == 130
    assert "stopped at once" in run.text


def test_signals_that_come_together_are_one(runs: list[Run]) -> None:
    """A launcher passes on what the terminal has sent to both."""
    run = toy("\n        ".join(("try:", f"    {WAITING}", "finally:", "    time.sleep(2)")), runs)
    run.send(signal.SIGINT)
    run.send(signal.SIGTERM)
    assert run.end(10) in (130, 143)
    assert "stopped at once" not in run.text


@pytest.mark.parametrize("where", ["in this thread", "in another thread"])
def test_pycolmap_leaves_signals_alone(where: str, runs: list[Run]) -> None:
    load = "from lotus_recon.colmap import pycolmap"
    if where == "in another thread":
        load = f"t = threading.Thread(target=exec, args=({load!r}, {{}})); t.start(); t.join()"
    run = toy(WAITING, runs, first=load)
    run.send(signal.SIGTERM)
    assert run.end(5) == 143
    assert "received by PID" not in run.text, "the stack of the process"


def test_what_an_exception_is_lost_in_ends_at_the_next_step(runs: list[Run]) -> None:
    """Libraries may swallow an exception that comes while they call back."""
    lost = "try:\n            time.sleep(600)\n        except BaseException: pass\n        "
    run = toy(f"{lost}from lotus_recon.progress import track\n        for _ in track([1], 'a', 1): {WAITING}", runs)
    run.send(signal.SIGINT)
    assert run.end(5) == 130
    assert "interrupted by SIGINT in the toy" in run.text


def test_a_signal_that_is_ignored_stays_so(runs: list[Run]) -> None:
    run = toy("time.sleep(2)", runs, before="trap '' HUP;")
    run.send(signal.SIGHUP)
    assert run.end(10) == 0
    assert "stopping" not in run.text


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_real_run_ends_in_every_stage_and_says_truly_what_runs_again(tmp_path: Path, runs: list[Run]) -> None:
    """One signal in each stage, one run after the other in one folder; in the end the files of an undisturbed run."""
    arguments = _arguments(tmp_path)
    undisturbed = Run("-m", "pipelines.multi_view", *arguments, "--out", str(tmp_path / "whole" / "scene"))
    assert undisturbed.end(600) == 0, undisturbed.text
    stages = re.findall(rf"^([\w-]+){PLACE}: running$", undisturbed.text, re.MULTILINE)
    assert set(stages) == {stage.name for stage in MULTI_VIEW} - {"frames", "adaptation", "maps", "export"}
    out = tmp_path / "cut" / "scene"
    named: list[str] = []
    for i, stage in enumerate(stages):
        number = ENDING[i % len(ENDING)]
        run = Run("-m", "pipelines.multi_view", *arguments, "--out", str(out))
        runs.append(run)
        run.wait_for(rf"^{stage}{PLACE}: (running|up to date)$")
        sent = run.send(number)
        status = run.end(120)
        _check_before(run, named)
        if status == 0:  # the last stage was over before the signal came
            break
        assert status == 128 + number, run.text
        came, said = run.wait_for("stopping after")
        assert came - sent < ANSWER_SECONDS
        assert "Traceback" not in run.text
        named.append(said)
    last = Run("-m", "pipelines.multi_view", *arguments, "--out", str(out))
    assert last.end(600) == 0, last.text
    _check_before(last, named)
    assert len(named) >= len(stages) - 2
    assert not (out / ".scratch").exists()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def _arguments(root: Path) -> list[str]:
    entry = write_textured(root, "room")
    (root / "options.yaml").write_text(yaml.safe_dump(entry["options"]))
    paths = {name: str(root / entry[name]) for name in ("images", "predictions", "poses")}
    given = ["--predictions", paths["predictions"], "--poses", paths["poses"], "--config", str(root / "options.yaml")]
    return [paths["images"], "--model", "precomputed", *given]


def _check_before(run: Run, named: list[str]) -> None:
    """What the interrupted run before said is what this one does: that stage runs, those before it do not."""
    if not named or "nothing was done" in named[-1]:
        return
    match = re.search(r"step of ([\w-]+);", named[-1])
    assert match, named[-1]
    ran = re.findall(rf"^([\w-]+){PLACE}: running$", run.text, re.MULTILINE)
    if ran:  # else this one was interrupted before any
        assert ran[0] == match[1], run.text


def test_the_answer_is_that_of_the_work_though_the_run_has_ended() -> None:
    assert signals._last_of(b"stopping after a\nstopping after b\nover\n", "") == ("stopping after b", True)
    assert signals._last_of(b"over\n", "stopping after a") == ("stopping after a", True)
    assert signals._last_of(b"", "stopping after a") == ("stopping after a", False)
