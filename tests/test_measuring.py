"""What is said of memory: the limits of control groups of both versions, and which exceptions mean that it ended."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.interruption import doing
from lotus_recon.measuring import ControlGroup, control_groups, is_out_of_memory, memory_ended


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_a_limit_of_version_2_above_this_process_counts(tmp_path: Path) -> None:
    proc, top = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("0::/pod/worker\n")
    write(top / "pod/worker", memory__max="max", memory__current=50, memory__stat="anon 30\nfile 20")
    write(top / "pod", memory__max=1000, memory__current=900, memory__stat="anon 700\nfile 200")
    assert control_groups(proc, top) == [ControlGroup(1000, 900, 700)]


def test_a_limit_of_version_1_counts_and_none_is_none(tmp_path: Path) -> None:
    proc, top = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("4:cpu,cpuacct:/a\n3:memory:/a\n0::/a\n")
    own = {"memory__limit_in_bytes": 5000, "memory__usage_in_bytes": 400}
    write(top / "memory/a", **own, memory__stat="rss 1\ntotal_rss 300")
    write(top / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=10**9, memory__stat="")
    assert control_groups(proc, top) == [ControlGroup(5000, 400, 300)]


def test_a_container_sees_its_own_group_as_the_top(tmp_path: Path) -> None:
    proc, top = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("3:memory:/docker/0123\n")
    write(top / "memory", memory__limit_in_bytes=7000, memory__usage_in_bytes=10, memory__stat="total_rss 5")
    assert control_groups(proc, top) == [ControlGroup(7000, 10, 5)]
    assert control_groups(tmp_path / "none", top) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_what_numpy_torch_threads_and_loaders_raise_means_that_memory_ended(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_errors_do_not() -> None:
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


def test_what_led_to_an_error_counts_and_the_words_name_the_work() -> None:
    def work() -> None:
        with doing("the running step of fusion", "it starts again"):
            try:
                np.empty(2**60, np.uint8)
            except MemoryError as error:
                raise ValueError("wrapped") from error

    with pytest.raises(ValueError, match="wrapped") as caught:
        work()
    assert is_out_of_memory(caught.value)
    assert memory_ended(caught.value).startswith("memory ended in the running step of fusion at ")


def test_words_that_may_mean_anything_mean_memory_where_it_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("could not create a primitive")
    assert not is_out_of_memory(error)
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1 << 30, 1 << 30))
    assert is_out_of_memory(error)
