"""Training examples made on the training device, for whole batches: examples.py and targets.py in torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lotus_recon.training.augmentation import Draw
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.training.device_colours import recoloured
from lotus_recon.training.device_framing import DeviceSample, Maps, framed
from lotus_recon.training.examples import check_any_truth
from lotus_recon.training.framing import cropped_nearest
from lotus_recon.training.targets import CUT_PERCENT, DEPTH_SPACES, NARROWEST_RANGE
from lotus_recon.training.task_module import Batch


@dataclass(frozen=True, eq=False)
class DeviceExample:
    """A sample with its final size, before its colours are changed."""

    name: str
    seed: int
    maps: Maps
    drawn: Draw


def device_example(sample: DeviceSample, drawn: Draw, objective: ObjectiveConfig, seed: int) -> DeviceExample:
    """The training example of a sample. Raises InputError when it has no valid pixel."""
    depth, normals = (
        None if mask is None else cropped_nearest(mask, drawn.box, drawn.width, drawn.height)
        for mask in (sample.masks["depth_valid"], sample.masks["normals_valid"])
    )
    check_any_truth(sample.name, depth, normals, objective.tasks)
    return DeviceExample(sample.name, seed, framed(sample.maps, drawn), drawn)


def device_batch(examples: Sequence[DeviceExample], objective: ObjectiveConfig) -> Batch:
    """Examples of one size as a batch."""
    maps = {name: torch.stack([e.maps[name] for e in examples]) for name in examples[0].maps}
    image = recoloured(maps["image"], [e.drawn.recolouring for e in examples])
    annotation, valid = {}, {}
    if "depth" in objective.tasks:
        depth, counts = _depth_annotation(maps["depth"], maps["depth_valid"], maps["sky"], objective)
        annotation["depth"], valid["depth"] = depth.expand(-1, 3, -1, -1), counts
    if "normal" in objective.tasks:
        annotation["normal"], valid["normal"] = -maps["normals"], maps["normals_valid"]
    return Batch(
        names=tuple(e.name for e in examples),
        image=image.float() / 127.5 - 1,
        annotation=annotation,
        valid=valid,
        seeds=tuple(e.seed for e in examples),
        depth=maps["depth"] if "depth" in objective.tasks else None,
    )


def _depth_annotation(depth: Tensor, valid: Tensor, sky: Tensor, objective: ObjectiveConfig) -> tuple[Tensor, Tensor]:
    """``targets.depth_annotation`` of depth, valid and sky (B, 1, H, W)."""
    in_disparity = DEPTH_SPACES[objective.depth_normalization] == "disparity"
    values = torch.where(valid, 1 / depth if in_disparity else depth, 1)
    low, high = _ends(values, valid, CUT_PERCENT[objective.depth_normalization] / 100)
    is_flat = high - low <= NARROWEST_RANGE * high
    scaled = ((values - low) * (2 / torch.where(is_flat, 1, high - low)) - 1).clamp(-1, 1)
    result = torch.where(valid & ~is_flat, scaled, 0)
    return torch.where(sky & ~valid, -1.0 if in_disparity else 1.0, result), valid | sky


def _ends(values: Tensor, valid: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """(B, 1, 1, 1) each: the quantiles ``cut`` and 1 - ``cut`` of the valid values (B, 1, H, W); 0 where none are."""
    ordered = torch.where(valid, values, torch.inf).flatten(1).sort(dim=1).values
    last = valid.flatten(1).sum(1, keepdim=True).clamp(min=1) - 1
    ends = []
    for share in (cut, 1 - cut):
        place = share * last.double()
        below = place.long()
        low, high = ordered.gather(1, below), ordered.gather(1, torch.minimum(below + 1, last))
        end = torch.where(low < torch.inf, low + (high - low) * (place - below).float(), 0)
        ends.append(end[..., None, None])
    return ends[0], ends[1]
