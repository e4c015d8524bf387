"""The lease on a scene: held by the living, taken from the dead, wherever they are."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import MarkerSoftFileLock

from lotus_recon.runners import locks
from lotus_recon.runners.locks import LEASE_FILE, STALE_SECONDS, Lease
from lotus_recon.workspace import FolderInUseError

HOLD = """
import sys, time
from pathlib import Path
from lotus_recon.runners.locks import Lease
lease = Lease.take(Path(sys.argv[1]))
print(flush=True)
time.sleep(60)
"""


def held_elsewhere(folder: Path, age: float = 0.0, **changed: str) -> None:
    """A lease as another machine would have written it, not renewed for ``age`` seconds."""
    lease, path = Lease.take(folder), folder / LEASE_FILE
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    lease.release()
    changed = {"host": "node7", "pid": "1", "token": "0" * 32} | changed
    path.write_text("".join(f"{name}{sign}{changed.get(name, value)}\n" for name, sign, value in lines))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """A process that holds the lease on ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_lease_excludes_others_until_it_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        lease = Lease.take(tmp_path / "scene")
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"):
            Lease.take(tmp_path / "scene")
        lease.release()
    assert list((tmp_path / "scene").iterdir()) == []


def test_a_dead_process_of_this_machine_loses_its_lease(tmp_path: Path, holder: Any) -> None:
    with pytest.raises(FolderInUseError, match=f"process {holder.pid} on"):
        Lease.take(tmp_path)
    holder.kill()
    holder.wait()
    Lease.take(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_suspended_process_of_this_machine_keeps_its_lease(tmp_path: Path, holder: Any) -> None:
    holder.send_signal(signal.SIGSTOP)
    os.utime(tmp_path / LEASE_FILE, (0, 0))
    with pytest.raises(FolderInUseError, match=f"process {holder.pid} on"):
        Lease.take(tmp_path)


def test_a_process_number_given_out_again_or_a_restart_of_the_machine_ends_a_lease(tmp_path: Path) -> None:
    probe = MarkerSoftFileLock(tmp_path / "probe")
    with probe:
        assert probe.owner is not None
        here = probe.owner.hostname
    held_elsewhere(tmp_path, host=here, pid=str(os.getpid()), start="1")
    Lease.take(tmp_path).release()


def test_a_holder_elsewhere_is_alive_while_it_renews(tmp_path: Path) -> None:
    held_elsewhere(tmp_path, age=STALE_SECONDS - 30)
    with pytest.raises(FolderInUseError, match="process 1 on node7"):
        Lease.take(tmp_path)
    (tmp_path / LEASE_FILE).unlink()
    held_elsewhere(tmp_path, age=STALE_SECONDS + 30)
    Lease.take(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    lease = Lease.take(tmp_path)
    os.utime(tmp_path / LEASE_FILE, (0, 0))
    time.sleep(0.5)
    assert time.time() - (tmp_path / LEASE_FILE).stat().st_mtime < 5
    lease.release()


def test_a_lease_that_was_cut_off_while_it_was_written_does_not_last(tmp_path: Path) -> None:
    (tmp_path / LEASE_FILE).touch()
    with pytest.raises(FolderInUseError):
        Lease.take(tmp_path)
    os.utime(tmp_path / LEASE_FILE, (0, 0))
    Lease.take(tmp_path).release()


def test_a_lease_that_was_taken_over_is_not_removed_by_its_former_holder(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path)
    content = (tmp_path / LEASE_FILE).read_text()
    (tmp_path / LEASE_FILE).unlink()
    (tmp_path / LEASE_FILE).write_text(content.replace("token=", "token=0"))
    lease.release()
    assert (tmp_path / LEASE_FILE).exists()


def _try(folder: Path, barrier: Any, taken: Any) -> None:
    barrier.wait()
    lease = None
    with contextlib.suppress(FolderInUseError):
        lease = Lease.take(folder)
    taken.put(lease and os.getpid())
    barrier.wait()  # held until all have tried
    if lease is not None:
        lease.release()


def _of_a_dead_process(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()


def _of_a_dead_machine(folder: Path) -> None:
    held_elsewhere(folder, age=STALE_SECONDS + 30)


@pytest.mark.parametrize("stale", [_of_a_dead_process, _of_a_dead_machine])
def test_of_many_that_find_a_stale_lease_one_gets_it(tmp_path: Path, stale: Callable[[Path], None]) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        stale(tmp_path)
        barrier, taken = context.Barrier(6), context.Queue()
        processes = [context.Process(target=_try, args=(tmp_path, barrier, taken)) for _ in range(6)]
        for process in processes:
            process.start()
        winners = [taken.get(timeout=20) for _ in processes]
        for process in processes:
            process.join()
        assert sum(winner is not None for winner in winners) == 1
