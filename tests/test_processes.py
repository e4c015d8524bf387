"""Processes with pipes: their messages are read, their deaths noticed, and they end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lotus_recon.processes import Send, WorkerProcess, wait_for_any

ROOT = Path(__file__).resolve().parents[1]
# Without the usual guard: in the processes of spawn the whole script would run again.
SCRIPT = """
import sys, time
from lotus_recon.processes import WorkerProcess, wait_for_any
from tests.test_processes import service
print("started", flush=True)
process = WorkerProcess(service, ("scripted",))
process.send("pid")
wait_for_any([process])
print(process.receive()[0][0], flush=True)
process.send("sleep")
time.sleep(60)
"""


def service(name: str) -> Callable[[str, Send], None]:
    """Answers with what is asked for."""

    def answer(message: str, send: Send) -> None:
        if message == "pid":
            send(os.getpid())
        elif message == "settings":
            send((name, os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]))
        elif message == "killed":
            send("one")
            send("two")
            os.kill(os.getpid(), signal.SIGKILL)
        elif message == "exit":
            os._exit(3)
        elif message == "sleep":
            time.sleep(60)

    return answer


@pytest.fixture
def process() -> Iterator[WorkerProcess]:
    worker = WorkerProcess(service, ("a name",), threads=3)
    yield worker
    worker.close()


def received(process: WorkerProcess) -> list[Any]:
    messages: list[Any] = []
    has_ended = False
    while not messages and not has_ended:
        wait_for_any([process], 20)
        messages, has_ended = process.receive()
    return messages


def test_messages_come_back_from_a_process_with_its_own_number_of_threads(process: WorkerProcess) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    process.send("settings")
    assert received(process) == [("a name", "3", "1")]
    assert os.environ.get("OMP_NUM_THREADS") == before
    process.send("pid")
    (pid,) = received(process)
    assert pid != os.getpid()
    assert process.memory_mb() == pytest.approx(psutil.Process(pid).memory_info().rss / 2**20, rel=0.2)


def test_what_a_process_sent_before_it_was_killed_is_read(process: WorkerProcess) -> None:
    process.send("killed")
    messages: list[Any] = []
    has_ended = False
    while not has_ended:
        assert wait_for_any([process], 20) == [process]
        more, has_ended = process.receive()
        messages += more
    assert messages == ["one", "two"]
    assert process.exit_reason().startswith("its process was ended by SIGKILL")
    assert not process.is_alive
    assert process.memory_mb() == 0
    process.send("pid")  # nobody reads it, and nothing is raised


def test_a_process_that_ends_by_itself_says_how(process: WorkerProcess) -> None:
    process.send("exit")
    assert received(process) == []
    assert process.exit_reason() == "its process ended with status 3"


def test_of_several_processes_the_one_that_has_something_is_named(process: WorkerProcess) -> None:
    other = WorkerProcess(service, ("other",))
    try:
        assert wait_for_any([process, other], 0.01) == []
        other.send("pid")
        assert wait_for_any([process, other], 20) == [other]
    finally:
        other.close()


def test_a_busy_process_is_ended_at_once(process: WorkerProcess) -> None:
    process.send("sleep")
    started = time.monotonic()
    process.close()
    assert time.monotonic() - started < 5


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    script = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert script.stdout is not None
    assert script.stdout.readline() == "started\n"
    worker = psutil.Process(int(script.stdout.readline()))  # and not "started" again
    script.kill()
    script.communicate()
    worker.wait(10)
