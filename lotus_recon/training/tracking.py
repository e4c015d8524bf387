"""Where the curves of a run are shown."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.training.config import TrainConfig
from lotus_recon.workspace import to_plain, write_atomically


class Tracker(Protocol):
    """Records scalars and images of steps."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after ``step`` steps; names have groups, as in ``train/loss``."""
        ...

    def image(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        """Record an image (H, W, 3)."""
        ...

    def close(self) -> None:
        """Bring everything to its place."""
        ...


def check_tracker(name: str) -> None:
    """Raise InputError when the package that a tracker needs is not installed."""
    remedies = {"tensorboard": "pip install 'lotus-recon[train]'", "wandb": "pip install wandb"}
    if name in remedies and importlib.util.find_spec(name) is None:
        raise InputError(f"loop.tracker {name}: needs a package; {remedies[name]}, or use --tracker none")


def open_tracker(config: TrainConfig, folder: Path, first_step: int) -> Tracker:
    """The tracker that ``config.loop.tracker`` names, going on at ``first_step``; its package is installed."""
    if config.loop.tracker == "tensorboard":
        return _TensorBoard(folder / "tensorboard", first_step)
    if config.loop.tracker == "wandb":
        return _WandB(config, folder)
    return _Nowhere()


class _Nowhere:
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def image(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        pass

    def close(self) -> None:
        pass


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What a killed run recorded after its last checkpoint is computed again and must not appear twice.
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, config: TrainConfig, folder: Path) -> None:
        import wandb

        self._wandb: Any = wandb
        # One run of wandb per output folder, however often it is interrupted.
        id_file = folder / "wandb_id.txt"
        if not id_file.is_file():
            write_atomically(id_file, lambda part: part.write_text(uuid.uuid4().hex))
        self._run = wandb.init(
            project="lotus-recon",
            id=id_file.read_text(),
            name=folder.resolve().name,
            dir=str(folder),
            config=to_plain(config),
            resume="allow",
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def image(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        self._run.log({name: self._wandb.Image(rgb)}, step=step)

    def close(self) -> None:
        self._run.finish()
