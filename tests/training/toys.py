"""A task module, batches and a data set that take milliseconds. As a program: a run, for tests with processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.config import LoopConfig, OptimizerConfig, TrainConfig
from lotus_recon.training.loop import Parts, train
from lotus_recon.training.task_module import Batch, Term
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction

SIZE = (6, 8)  # height, width


def toy_config(**loop: Any) -> TrainConfig:
    """Eight steps of eight samples, all that a run can do switched on."""
    options: dict[str, Any] = {
        "steps": 8,
        "total_batch": 8,
        "accumulation": 2,
        "ema_decay": 0.9,
        "checkpoint_every": 3,
        "validate_every": 4,
        "log_every": 1,
        "tracker": "none",
        **loop,
    }
    optimizer = OptimizerConfig(learning_rate=1e-2, schedule="cosine", warmup_steps=2)
    return replace(TrainConfig(), loop=LoopConfig(**options), optimizer=optimizer)


class ToyTaskModule:
    """Two convolutions with dropout between them that map the photo to an annotation and back to itself."""

    def __init__(self, device: torch.device, channels: int = 4, dropout: float = 0.1) -> None:
        layers = (nn.Conv2d(3, channels, 3, padding=1), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(channels, 6, 1))
        self.network: nn.Module = nn.Sequential(*layers).to(device)

    def parameter_groups(self, config: OptimizerConfig) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "lr": config.learning_rate}]

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"depth": float(batch.valid["depth"].sum()), "image": float(batch.image.numel())}

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
        predicted = network(batch.image)
        error = (predicted[:, :3] - batch.annotation["depth"]).square().mean(1, keepdim=True)
        preserved = (predicted[:, 3:] - batch.image).square()
        return {"depth": Term((error * batch.valid["depth"]).sum()), "image": Term(preserved.sum(), weight=0.5)}

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        return [self._predict(image) for image in images]

    def _predict(self, image: NDArray[np.uint8]) -> Prediction:
        x = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        maps = self.network(x)[0].permute(1, 2, 0).numpy()
        everywhere = np.ones(image.shape[:2], bool)
        normals = maps[..., 3:] / np.linalg.norm(maps[..., 3:], axis=-1, keepdims=True)
        depth = DepthMap(1 + np.abs(maps[..., 0]), everywhere, DepthKind.AFFINE_DISPARITY)
        return Prediction(depth, NormalMap(normals, everywhere))

    def save(self, folder: Path) -> None:
        save_file(self.network.state_dict(), str(folder / "toy.safetensors"))


class FailingTaskModule(ToyTaskModule):
    """Its loss is not a number on the batch that has sample 21, which is one of the third step."""

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Term]:
        terms = super().terms(network, batch)
        bad = float("nan") if "sample-21" in batch.names else 1.0
        return {**terms, "depth": Term(terms["depth"].total * bad)}


class ToyBatches:
    """Batches as a function of the step, shared out as ``training.data`` does. Few pixels of odd samples count."""

    def __init__(self, config: TrainConfig, process_index: int, process_count: int, device: torch.device) -> None:
        self._loop = config.loop
        self._mine = slice(process_index, None, process_count)
        self.unusable = [f"broken-{process_index}", "broken"]

    def run(self, first: int, last: int) -> Iterator[list[Batch]]:
        for step in range(first, last):
            numbers = range(step * self._loop.total_batch, (step + 1) * self._loop.total_batch)[self._mine]
            parts = np.array_split(np.array(numbers), self._loop.accumulation)
            yield [toy_batch([int(number) for number in part]) for part in parts]


def toy_batch(numbers: Sequence[int]) -> Batch:
    images, annotations, masks = [], [], []
    for number in numbers:
        random = np.random.default_rng(number)
        images.append(random.uniform(-1, 1, (3, *SIZE)))
        annotations.append(images[-1][::-1] * 0.5)
        masks.append(random.random((1, *SIZE)) < (0.1 if number % 2 else 0.9))
    return Batch(
        names=tuple(f"sample-{number}" for number in numbers),
        image=torch.from_numpy(np.stack(images)).float(),
        annotation={"depth": torch.from_numpy(np.stack(annotations)).float()},
        valid={"depth": torch.from_numpy(np.stack(masks))},
        seeds=tuple(numbers),
    )


class ToySet:
    """Five photos of a slanted plane; the one at ``broken`` cannot be scored."""

    def __init__(self, broken: int | None = None) -> None:
        self._broken = broken

    def __len__(self) -> int:
        return 5

    def name(self, index: int) -> str:
        return f"toy-{index}"

    def load(self, index: int) -> Sample:
        random = np.random.default_rng(index)
        depth = np.broadcast_to(np.linspace(1, 3, SIZE[1], dtype=np.float32), SIZE).copy()
        normals = np.broadcast_to(np.array([0, 0, -1], np.float32), (*SIZE, 3)).copy()
        valid = np.full(SIZE, index != self._broken)
        rgb = random.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        return Sample(self.name(index), rgb, depth, valid, None, normals, np.ones(SIZE, bool))


def toy_parts(**module: Any) -> Parts:
    return Parts(lambda config, device: ToyTaskModule(device, **module), ToyBatches, lambda config: [ToySet()])


def saved_model(out: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(out / "model" / "toy.safetensors")
    return weights


def failing_parts() -> Parts:
    return replace(toy_parts(), make_task_module=lambda config, device: FailingTaskModule(device))


if __name__ == "__main__":
    parts = failing_parts() if "fail" in sys.argv else toy_parts(dropout=0.0)
    train(toy_config(accumulation=2, checkpoint_every=1), Path(sys.argv[1]), parts)
