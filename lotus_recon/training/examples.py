"""Training examples: samples turned into network inputs and targets, single and in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.errors import InputError
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.training.targets import depth_annotation, normal_annotation
from lotus_recon.training.task_module import Batch
from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class Example:
    """A sample as it enters a batch."""

    name: str
    seed: int
    rgb: NDArray[np.uint8]  # (H, W, 3)
    annotation: Mapping[str, NDArray[np.float32]]  # task -> (3 or, where all channels are equal, 1, H, W)
    valid: Mapping[str, BoolArray]  # task -> (H, W)
    depth: NDArray[np.float32] | None  # (H, W) metres, 0 where invalid; None when depth is not a task


def example(sample: Sample, objective: ObjectiveConfig, seed: int) -> Example:
    """The training example of a sample that has its final size. Raises InputError when it has no valid pixel."""
    check_any_truth(sample.name, sample.depth_valid, sample.normals_valid, objective.tasks)
    annotation, valid, depth = {}, {}, None
    if "depth" in objective.tasks:
        annotation["depth"], valid["depth"] = _depth_truth(sample, objective)
        depth = _depth_or_zero(sample)
    if "normal" in objective.tasks:
        annotation["normal"], valid["normal"] = _normal_truth(sample)
    return Example(sample.name, seed, sample.rgb, annotation, valid, depth)


def _depth_truth(sample: Sample, objective: ObjectiveConfig) -> tuple[NDArray[np.float32], BoolArray]:
    shape = sample.rgb.shape[:2]
    if sample.depth is None or sample.depth_valid is None:
        return np.zeros((1, *shape), np.float32), np.zeros(shape, bool)
    values, counts = depth_annotation(sample.depth, sample.depth_valid, sample.sky, objective.depth_normalization)
    return values[None], counts


def _normal_truth(sample: Sample) -> tuple[NDArray[np.float32], BoolArray]:
    shape = sample.rgb.shape[:2]
    if sample.normals is None or sample.normals_valid is None:
        return np.zeros((3, *shape), np.float32), np.zeros(shape, bool)
    return normal_annotation(sample.normals, sample.normals_valid), sample.normals_valid


def _depth_or_zero(sample: Sample) -> NDArray[np.float32]:
    if sample.depth is None or sample.depth_valid is None:
        return np.zeros(sample.rgb.shape[:2], np.float32)
    return np.where(sample.depth_valid, sample.depth, np.float32(0))


def check_any_truth(name: str, depth: BoolArray | None, normals: BoolArray | None, tasks: Sequence[str]) -> None:
    """Raise InputError unless at least one pixel of one of the tasks is valid in its mask (H, W)."""
    masks = {"depth": depth, "normal": normals}
    if not any(mask is not None and mask.any() for mask in (masks[task] for task in tasks)):
        raise InputError(f"{name}: no valid pixel of {' or '.join(tasks)}")


def stacked(examples: Sequence[Example]) -> Batch:
    """Examples of one size as a batch."""
    image = torch.from_numpy(np.stack([e.rgb for e in examples])).permute(0, 3, 1, 2).to(torch.float32)
    annotation = {task: _rows([e.annotation[task] for e in examples]) for task in examples[0].annotation}
    depths = [e.depth[None] for e in examples if e.depth is not None]
    return Batch(
        names=tuple(e.name for e in examples),
        image=image.contiguous() / 127.5 - 1,
        annotation={task: maps.expand(-1, 3, -1, -1) for task, maps in annotation.items()},
        valid={task: _rows([e.valid[task][None] for e in examples]) for task in examples[0].valid},
        seeds=tuple(e.seed for e in examples),
        depth=_rows(depths) if depths else None,
    )


def _rows(maps: Sequence[NDArray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(maps))
