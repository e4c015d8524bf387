"""How far views are from one surface where photos decide nothing: all that can judge depth there."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import torch
from cachetools import LRUCache, cached

from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible, depth_log_ratio
from lotus_recon.io.scene_maps import SCENE_DEPTH, SceneMaps
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE
from lotus_recon.types import View

_NEIGHBOURS = 8  # views that a view is compared with
_PIXELS = 5000  # of a map that are compared, about
_LARGEST = 0.2  # |log ratio| beyond which a pixel counts no more: it may be hidden


def disagreement(views: Sequence[View], folder: Path) -> float | None:
    """Mean \\|log ratio\\| of the depths of two maps, cut at 0.2, at pixels of the first that photos do not decide.

    None where no two views see the same.
    """
    maps = SceneMaps(folder, ("depth", "confidence"), SCENE_DEPTH)
    views = [view for view in views if maps.has(view)]

    @cached(LRUCache(2 * _NEIGHBOURS + 2), key=attrgetter("name"))
    def tensors(view: View) -> DepthTensors:
        one = maps.load(view)
        depth = one.required_depth
        return DepthTensors.of(view, depth.values, depth.valid, torch.device("cpu"), one.confidence)

    samples = [coarse_samples(one.known_depth, one.valid.numpy()) for one in map(tensors, views)]
    total, count = 0.0, 0
    for view, others in zip(views, covisible(views, samples, _NEIGHBOURS), strict=True):
        this = tensors(view)
        row, col = torch.nonzero(this.valid & (this.confidence <= FILLED_CONFIDENCE), as_tuple=True)
        every = max(1, len(row) // _PIXELS)
        for j in others:
            ratio = depth_log_ratio(this, row[::every], col[::every], tensors(views[j])).abs().clamp(max=_LARGEST)
            total += float(ratio.nansum())
            count += int(ratio.isfinite().sum())
    return total / count if count else None
