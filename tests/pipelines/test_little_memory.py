"""Too little memory, and a run that is killed: words and the status that they promise, never a traceback."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.measuring import ControlGroup
from pipelines import little_memory
from pipelines.command_line import FAILED, main, status_of
from tests.runners.scenes import ROOT


def in_child(code: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=before)


def test_a_run_that_asks_for_too_much_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: len(np.empty(2**60, np.uint8))) == FAILED
    with pytest.raises(ZeroDivisionError):
        status_of(lambda: 1 // 0)


def test_a_full_disk_is_named_so_also_where_numpy_does_not(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> int:
        raise OSError("76800 requested and 61408 written")

    assert status_of(work) == FAILED
    assert "No space left on device" in caplog.text


def test_libraries_that_cannot_be_loaded_are_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline"])

    def run(argv: object) -> int:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    with mock.patch("pipelines.command_line.answered"), pytest.raises(SystemExit) as end:
        main(run)
    assert end.value.code == FAILED
    assert "memory ended" in caplog.text


def test_mistakes_of_this_program_stay_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline"])
    for error in (ImportError("No module named 'lotus'"), RuntimeError("shapes differ")):
        with mock.patch("pipelines.command_line.answered"), pytest.raises(type(error)):
            main(mock.Mock(side_effect=error))


def test_less_than_libraries_map_is_refused_before_they_are_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.command_line import main; from pipelines.single_view import run\n"
        f"sys.argv = ['x', 'photo.png', '--out', {str(tmp_path / 'out')!r}]\nmain(run)"
    )
    limit = (little_memory.LEAST_ADDRESS_SPACE_MB - 1) << 20
    done = in_child(code, lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ulimit -v leaves")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_limit_that_is_enough_is_taken() -> None:
    enough = little_memory.LEAST_ADDRESS_SPACE_MB << 20
    with mock.patch("resource.getrlimit", return_value=(enough, enough)):
        little_memory.check_address_space()
    with mock.patch("resource.getrlimit", return_value=(enough - 1, enough)), pytest.raises(InputError, match="raise"):
        little_memory.check_address_space()


GUARDED = """
import time
from unittest import mock
from lotus_recon.interruption import current_work, doing
from lotus_recon.measuring import ControlGroup
from pipelines.command_line import main
def groups():
    held = HELD if "fusion" in current_work().what else 0
    return [ControlGroup(1000 << 20, 999 << 20, held << 20)]
def run(argv):
    with doing("the running step of fusion", "it starts again"):
        time.sleep(5)
    return 0
with mock.patch("pipelines.little_memory.control_groups", groups):
    main(run)
"""


def test_a_run_ends_before_its_control_group_is_full() -> None:
    done = in_child(GUARDED.replace("HELD", "990"))
    assert done.returncode == FAILED
    said = done.stderr.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: memory ended in the running step of fusion at 990 of the 1000 MB of the control")


def test_what_files_take_of_a_control_group_does_not_end_a_run() -> None:
    assert in_child(GUARDED.replace("HELD", "500").replace("sleep(5)", "sleep(0.5)")).returncode == 0


def test_groups_that_do_not_say_what_is_held_are_not_watched() -> None:
    with (
        mock.patch("pipelines.little_memory.control_groups", return_value=[ControlGroup(10, 10, None)]),
        mock.patch("threading.Thread") as thread,
        little_memory.guarded(),
    ):
        assert not thread.called


def test_a_run_that_is_killed_is_spoken_for() -> None:
    """By whoever is left: the kernel tells nobody why it ended a process."""
    code = (
        "import os, signal\nfrom lotus_recon.interruption import doing\nfrom pipelines.command_line import main\n"
        "def run(argv):\n    with doing('the running step of fusion', 'it starts again'):\n"
        f"        os.kill(os.getpid(), {int(signal.SIGKILL)})\nmain(run)"
    )
    done = in_child(code)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr.strip() == (
        "error: killed, or ended by a library, in the running step of fusion; the same command resumes: it starts "
        "again. Was there enough memory?"
    )


def test_a_run_that_ends_itself_is_not() -> None:
    for end in ("return 0", "raise SystemExit(3)", "raise KeyError(1)"):
        done = in_child(f"from pipelines.command_line import main\ndef run(argv):\n    {end}\nmain(run)")
        assert "killed" not in done.stderr
