"""Checkpoints: complete or not there; damage is found; the disk may be full."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lotus_recon.errors import TrainingError
from lotus_recon.training import checkpoints
from lotus_recon.training.checkpoints import (
    commit_folder,
    list_checkpoints,
    load_latest,
    read_checkpoint,
    remove_leftovers,
    save_checkpoint,
)

STATE: dict[str, Any] = {"network": {"w": torch.arange(1000.0)}, "average": None, "groups": [{"lr": 0.5}]}


def steps(root: Path) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(root)]


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, STATE, limit=1)
    found = load_latest(tmp_path)
    assert found is not None
    checkpoint, state = found
    assert checkpoint.step == 7
    assert torch.equal(state["network"]["w"], STATE["network"]["w"])
    assert (state["average"], state["groups"]) == (None, [{"lr": 0.5}])


def test_no_checkpoint(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "nowhere") is None
    (tmp_path / "something").mkdir()
    assert load_latest(tmp_path) is None


def test_limit(tmp_path: Path) -> None:
    for step in (5, 10, 100_000_000, 15):
        save_checkpoint(tmp_path, step, STATE, limit=2)
    assert steps(tmp_path) == [15, 10], "a later one, which was not gone on from, does not count"


def test_the_same_step_again_replaces(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, STATE, limit=2)
    save_checkpoint(tmp_path, 5, {"other": 1}, limit=2)
    assert read_checkpoint(list_checkpoints(tmp_path)[0]) == {"other": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def scramble(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("file", ["state.pt", "checkpoint.json"])
@pytest.mark.parametrize("damage", [cut, scramble, remove])
def test_damage_falls_back(tmp_path: Path, damage: Any, file: str, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path, 5, STATE, limit=2)
    damaged = save_checkpoint(tmp_path, 10, {"network": {}}, limit=2)
    damage(damaged.folder / file)
    found = load_latest(tmp_path)
    assert found is not None
    assert found[0].step == 5
    assert "step_00000010" in caplog.text
    save_checkpoint(tmp_path, 8, STATE, limit=2)
    assert steps(tmp_path) == [8, 5], "the damaged one is gone"


def test_nothing_but_damage(tmp_path: Path) -> None:
    cut(save_checkpoint(tmp_path, 5, STATE, limit=2).folder / "state.pt")
    with pytest.raises(TrainingError, match=r"no checkpoint can be read: .*step_00000005; remove"):
        load_latest(tmp_path)


class FullDisk(io.FileIO):
    """Takes a kilobyte, then no more, as a disk does that becomes full."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > 1024:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch hides what the disk says behind a RuntimeError of its own."""
    save_checkpoint(tmp_path, 5, STATE, limit=1)
    monkeypatch.setattr(checkpoints, "open", lambda path, mode: FullDisk(path, mode), raising=False)
    with pytest.raises(TrainingError, match=r"after step 10 .*No space left.*free some space.*step_00000005"):
        save_checkpoint(tmp_path, 10, STATE, limit=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005"], "nor half a checkpoint"
    assert load_latest(tmp_path) is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_disk_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch itself meets it."""
    monkeypatch.setattr(checkpoints, "_STATE_FILE", "/dev/full")
    with pytest.raises(TrainingError, match="there is no earlier one"):
        save_checkpoint(tmp_path, 10, STATE, limit=1)


def test_a_failed_write_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    commit_folder(tmp_path / "model", lambda folder: (folder / "a").write_text("1"))

    def fail(folder: Path) -> None:
        (folder / "a").write_text("2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_folder(tmp_path / "model", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/a").read_text() == "1"


def test_a_saved_network_is_readable_as_any_file_of_its_user(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    commit_folder(tmp_path / "model", lambda folder: save_file({"w": torch.zeros(1)}, folder / "model.safetensors"))
    saved, other = (os.stat(tmp_path / name).st_mode for name in ("model/model.safetensors", "other"))
    assert saved == other


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, STATE, limit=1)
    for name in (".writing-step_00000010", ".replaced-model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.pt").write_bytes(b"half")
    found = load_latest(tmp_path)
    assert found is not None
    assert found[0].step == 5
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000005"]
