"""Depth and confidence of views as tensors, read from a folder when needed, the last few kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache, cached
from torch import Tensor

from lotus_recon.io.scene_maps import SCENE_DEPTH, SceneMaps
from lotus_recon.types import DepthKind, DepthMap, NormalMap, View


@dataclass(frozen=True, eq=False)
class Map:
    """(H, W) depth, 0 where unknown, and how sure it is."""

    depth: Tensor
    confidence: Tensor


class Maps:
    """The depth in a folder: that of the alignment, or what a pass left."""

    def __init__(self, folder: Path, device: torch.device, kept: int) -> None:
        self._maps = SceneMaps(folder, parts=("depth", "confidence"), kinds=SCENE_DEPTH)
        self._device = device
        self.map = cached(LRUCache(kept), key=attrgetter("name"))(self._read)

    def has(self, view: View) -> bool:
        """Whether the view has a map."""
        return self._maps.has(view)

    def _read(self, view: View) -> Map:
        """The map of a view; one that the folder lacks is unknown everywhere. Raises InputError for a wrong file."""
        if not self.has(view):
            nothing = torch.zeros(1, 1, device=self._device)
            return Map(nothing, nothing)
        maps = self._maps.load(view)
        values = torch.from_numpy(maps.depth_or_zero).to(self._device)
        return Map(values, torch.from_numpy(maps.weight).to(self._device) * (values > 0))


def save_map(
    folder: Path,
    view: View,
    map_: Map,
    normals: NormalMap | None = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Write depth in the unit of the scene, its confidence, normals and ``meta`` to ``<stem>.npz`` of a folder."""
    depth = map_.depth.cpu().numpy()
    confidence = map_.confidence.cpu().numpy().astype(np.float32)
    SceneMaps(folder).save(view, DepthMap(depth, depth > 0, DepthKind.SCENE), confidence, normals, meta)
