"""Trackers that are not installed here, by stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.training.loop import train
from lotus_recon.training.tracking import open_tracker
from tests.training.toys import toy_config, toy_parts


def test_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'lotus-recon\[train\]', or use --tracker none"):
        train(toy_config(tracker="tensorboard"), tmp_path / "out", toy_parts())
    assert not (tmp_path / "out").exists()


def test_wandb_goes_on_with_the_run_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []
    logged: list[tuple[Any, int]] = []

    def init(**options: Any) -> SimpleNamespace:
        started.append(options)
        return SimpleNamespace(log=lambda values, step: logged.append((values, step)), finish=lambda: None)

    wandb = ModuleType("wandb")
    wandb.init, wandb.Image = init, lambda rgb: rgb.shape  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for step in (0, 5):
        tracker = open_tracker(toy_config(tracker="wandb"), tmp_path, step)
        tracker.scalars(step + 1, {"train/loss": 0.5})
        tracker.image(step + 1, "validation", np.zeros((2, 3, 3), np.uint8))
        tracker.close()
    assert started[0]["id"] == started[1]["id"]
    assert started[0]["config"]["loop"]["total_batch"] == 8
    assert logged == [
        ({"train/loss": 0.5}, 1),
        ({"validation": (2, 3, 3)}, 1),
        ({"train/loss": 0.5}, 6),
        ({"validation": (2, 3, 3)}, 6),
    ]
