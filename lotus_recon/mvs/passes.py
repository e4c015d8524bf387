"""A pass over all views: the planes that it found, and how certain they are by the agreement of the views."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache, cached

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_arrays, save_arrays
from lotus_recon.mvs.agreement import MARGIN, MATCHED, agreement, certainty
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.scene import StereoScene
from lotus_recon.mvs.search import Estimate, search
from lotus_recon.mvs.sources import Surface
from lotus_recon.mvs.starts import seen_by_others

if TYPE_CHECKING:
    import torch


class Pass:
    """The estimates of one pass over the views of a scene, on disk; the last few are kept in memory."""

    def __init__(self, scene: StereoScene, folder: Path, device: torch.device | None = None) -> None:
        """``device``: where the search runs; None: on the CPU."""
        self._scene, self._folder, self._device = scene, folder, device
        self.estimate = cached(LRUCache(scene.kept))(self._read)
        self.surface = cached(LRUCache(scene.kept))(self._surface)

    def has(self, index: int) -> bool:
        """Whether the estimate of a view is there, whole."""
        return self._path(index).is_file()

    def search(self, index: int, before: Pass | None, seed: int) -> None:
        """Find the depth of a view, from what the pass ``before`` found of it and of its sources."""
        scene = self._scene
        photo, others = scene.photos(index)
        if before is None:
            known, starts = None, scene.starts(index)
        else:
            known = [before.surface(j) for j in scene.sources_of(index)]
            starts = np.concatenate([before.estimate(index).planes[None], seen_by_others(photo, others, known)])
        depth_range = scene.ranges[index]
        assert depth_range is not None  # of a target
        found = search(photo, others, starts, depth_range, SearchConfig(), known, seed, self._device)
        path = self._path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, False, planes=found.planes, cost=found.cost, margin=found.margin)

    def _read(self, index: int) -> Estimate:
        """What was found of a view; nothing, where it was not searched. Raises InputError for a broken file."""
        if not self.has(index):
            nothing = np.zeros((1, 1), np.float32)
            return Estimate(np.zeros((1, 1, 3), np.float32), nothing, nothing)
        path = self._path(index)
        arrays = load_arrays(path)
        try:
            return Estimate(arrays["planes"], arrays["cost"], arrays["margin"])
        except KeyError as error:
            raise InputError(f"{path} has no {error}") from None

    def _surface(self, index: int) -> Surface:
        """The planes of a view, and how certain they are."""
        estimate = self.estimate(index)
        if not self.has(index):
            return Surface(estimate.planes, np.zeros(estimate.cost.shape, np.float32))
        photo, others = self._scene.photos(index)
        found = [self.estimate(j) for j in self._scene.sources_of(index)]
        surfaces = [Surface(each.planes, np.zeros(each.cost.shape, np.float32)) for each in found]
        agreeing = agreement(photo, estimate.planes, others, surfaces).agreeing
        return Surface(estimate.planes, certainty(estimate, agreeing))

    def agreement(self, index: int) -> float:
        """Share of the pixels of a view that photos tell apart whose depth other views agree with; 1 without any."""
        told_apart = self.estimate(index).margin >= MARGIN
        certain = self.surface(index).certainty >= MATCHED
        return float(certain[told_apart].mean()) if told_apart.any() else 1.0

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._scene.views[index].stem}.npz"
