"""The lease on a scene: held by the living, taken from the dead, wherever they are."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.runners import locks
from lotus_recon.runners.locks import LEASE_FILE, STALE_SECONDS, Lease, leased
from lotus_recon.workspace import FolderInUseError


def write_lease(folder: Path, age: float = 0.0, **changed: Any) -> None:
    holder = {"token": "other", **locks._myself(), **changed}
    path = folder / LEASE_FILE
    path.write_text(json.dumps(holder))
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_lease_excludes_others_until_it_is_given_back(tmp_path: Path) -> None:
    with leased(tmp_path / "scene"):
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()} on"):
            Lease.take(tmp_path / "scene")
    with leased(tmp_path / "scene"):
        pass
    assert list((tmp_path / "scene").iterdir()) == []


def test_a_dead_process_of_this_machine_loses_its_lease(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = locks._start_of(process.pid)
    write_lease(tmp_path, pid=process.pid, start=start)
    with pytest.raises(FolderInUseError):
        Lease.take(tmp_path)
    process.communicate()
    Lease.take(tmp_path).release()


def test_a_process_number_given_out_again_is_not_the_holder(tmp_path: Path) -> None:
    write_lease(tmp_path, pid=os.getpid(), start="1")
    Lease.take(tmp_path)


def test_a_restart_of_the_machine_ends_leases(tmp_path: Path) -> None:
    write_lease(tmp_path, boot="before")
    Lease.take(tmp_path)


def test_a_holder_elsewhere_is_alive_while_it_renews(tmp_path: Path) -> None:
    write_lease(tmp_path, age=STALE_SECONDS - 30, host="node7", pid=1)
    with pytest.raises(FolderInUseError, match="on node7"):
        Lease.take(tmp_path)
    write_lease(tmp_path, age=STALE_SECONDS + 30, host="node7", pid=1)
    lease = Lease.take(tmp_path)
    os.utime(tmp_path / LEASE_FILE, (0, 0))
    lease.renew()
    assert time.time() - (tmp_path / LEASE_FILE).stat().st_mtime < 5


def test_a_lease_that_was_taken_over_is_not_removed_by_its_former_holder(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path)
    write_lease(tmp_path)
    lease.release()
    assert (tmp_path / LEASE_FILE).exists()


def _try(folder: Path, barrier: Any, taken: Any) -> None:
    barrier.wait()
    try:
        Lease.take(folder)
        taken.put(os.getpid())
        time.sleep(1.0)
    except FolderInUseError:
        taken.put(None)


def test_of_many_that_find_a_stale_lease_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        write_lease(tmp_path, boot="before")
        barrier, taken = context.Barrier(6), context.Queue()
        processes = [context.Process(target=_try, args=(tmp_path, barrier, taken)) for _ in range(6)]
        for process in processes:
            process.start()
        winners = [taken.get(timeout=20) for _ in processes]
        for process in processes:
            process.join()
        assert sum(winner is not None for winner in winners) == 1
