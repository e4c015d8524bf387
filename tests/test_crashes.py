"""Tests that end their process, run as `make test` runs them: each is a failure by name, and nothing else is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = {
    "test_aborts.py": """
        import os
        def test_before(): pass
        def test_aborts(): os.abort()
        def test_after(): pass
    """,
    "test_aborts_at_its_import.py": "import os\nos.abort()\ndef test_never(): pass",
    "test_hangs.py": """
        def test_hangs(): sum(iter(int, 1))  # in C for ever, where no signal gets through
        def test_after(): pass
    """,
    "test_sound.py": """
        import pytest, time
        @pytest.mark.timeout(60)
        def test_takes_its_time(): time.sleep(4)
        def test_sound(): pass
    """,
    "pytest.ini": "[pytest]\ntimeout = 3",
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the project, with the options of the Makefile."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        (folder / name).write_text("\n".join(line[indent:] for line in lines))
    options = re.search(r"^PARALLEL := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert options is not None
    command = [sys.executable, "-m", "pytest", "-p", "tests.crashes", "-p", "no:cacheprovider", "-rA", "-W", "ignore"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_XDIST_AUTO_NUM_WORKERS": "2", "COLUMNS": "200"}
    command = [*command, *options[1].split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=200)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_an_abort_is_a_failure_with_its_name(output: str) -> None:
    assert re.search(r"^FAILED test_aborts\.py::test_aborts - worker '\w+' crashed while running", output, re.MULTILINE)
    assert re.search(r"^FAILED test_hangs\.py::test_hangs - worker '\w+' crashed while running", output, re.MULTILINE)
    assert output.count("\nFAILED ") == 2


def test_a_file_that_cannot_be_imported_is_an_error_with_its_name(output: str) -> None:
    line = "ERROR test_aborts_at_its_import.py - importing test_aborts_at_its_import.py ended the process"
    assert output.count(f"\n{line}") == 1
    assert output.count("\nERROR ") == 1


def test_all_others_run(output: str) -> None:
    passed = set(re.findall(r"^PASSED (\S+)$", output, re.MULTILINE))
    others = ("test_aborts.py::test_before", "test_aborts.py::test_after", "test_hangs.py::test_after")
    assert passed == {*others, "test_sound.py::test_sound", "test_sound.py::test_takes_its_time"}
    assert "2 failed, 5 passed, 2 skipped, 1 error" in output


def test_workers_share_the_cores() -> None:
    code = "import sys, os, tests.conftest; print(os.environ.get('OMP_NUM_THREADS'), 'numpy' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_XDIST_WORKER_COUNT": "1000"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "False"]
