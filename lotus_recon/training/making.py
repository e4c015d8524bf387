"""Where examples are made: on the CPU, sample by sample while others are read, or on the training device in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from lotus_recon.datasets.samples import Sample, TrainingSet
from lotus_recon.training.augmentation import Draw, augmented
from lotus_recon.training.cache import in_ram, is_on_device, on_device
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.training.device_examples import DeviceExample, device_batch, device_example
from lotus_recon.training.device_framing import DeviceSample
from lotus_recon.training.examples import Example, example, stacked
from lotus_recon.training.reading import Readable
from lotus_recon.training.task_module import Batch


class Maker(Protocol):
    """The sets as they are kept, and how their samples become batches. Both makers do the same, to rounding."""

    @property
    def sets(self) -> Sequence[Readable[Any]]:
        """The sets to read from."""
        ...

    def shape(self, sample: Any) -> tuple[int, ...]:
        """Height and width of a sample of ``sets``."""
        ...

    def example(self, sample: Any, drawn: Draw, seed: int) -> Any:
        """What is drawn done to a sample. Raises InputError when no valid pixel is left. Threads call this."""
        ...

    def batch(self, examples: Sequence[Any]) -> Batch:
        """Examples of one size as a batch."""
        ...


def make_maker(
    sets: Sequence[TrainingSet], cache: str, objective: ObjectiveConfig, device: torch.device, process_count: int
) -> Maker:
    """The maker for ``data.cache`` and the device that is trained on."""
    if is_on_device(sets, cache, device):
        return _DeviceMaker(on_device(sets, device), objective)
    return _CpuMaker(in_ram(sets, cache, process_count), objective)


@dataclass(frozen=True, eq=False)
class _CpuMaker:
    sets: Sequence[Readable[Sample]]
    objective: ObjectiveConfig

    def shape(self, sample: Sample) -> tuple[int, ...]:
        return sample.rgb.shape[:2]

    def example(self, sample: Sample, drawn: Draw, seed: int) -> Example:
        return example(augmented(sample, drawn), self.objective, seed)

    def batch(self, examples: Sequence[Example]) -> Batch:
        return stacked(examples)


@dataclass(frozen=True, eq=False)
class _DeviceMaker:
    sets: Sequence[Readable[DeviceSample]]
    objective: ObjectiveConfig

    def shape(self, sample: DeviceSample) -> tuple[int, ...]:
        return tuple(sample.maps["image"].shape[1:])

    def example(self, sample: DeviceSample, drawn: Draw, seed: int) -> DeviceExample:
        return device_example(sample, drawn, self.objective, seed)

    def batch(self, examples: Sequence[DeviceExample]) -> Batch:
        return device_batch(examples, self.objective)
