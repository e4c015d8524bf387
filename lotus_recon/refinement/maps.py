"""Depth and confidence of views as tensors, read from a folder when needed, the last few kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_weighted_depth, save_arrays
from lotus_recon.refinement.recent import Recent
from lotus_recon.types import DepthKind, View


@dataclass(frozen=True, eq=False)
class Map:
    """(H, W) depth, 0 where unknown, and how sure it is."""

    depth: Tensor
    confidence: Tensor


class Maps:
    """``<stem>.npz`` of a folder: those of the alignment, or what a pass left."""

    def __init__(self, folder: Path, device: torch.device, kept: int) -> None:
        self._folder, self._device = folder, device
        self._maps = Recent(self._read, kept)

    def has(self, view: View) -> bool:
        """Whether the view has a map."""
        return (self._folder / f"{view.stem}.npz").is_file()

    def map(self, view: View) -> Map:
        """The map of a view; one that the folder lacks is unknown everywhere. Raises InputError for a wrong file."""
        return self._maps(view)

    def _read(self, view: View) -> Map:
        path = self._folder / f"{view.stem}.npz"
        size = (view.camera.height, view.camera.width)
        if not path.is_file():
            nothing = torch.zeros(1, 1, device=self._device)
            return Map(nothing, nothing)
        depth, confidence = load_weighted_depth(path)
        if depth is None or depth.kind is not DepthKind.SCENE:
            raise InputError(f"{path} must hold SCENE depth (align it first)")
        if depth.shape != size:
            raise InputError(f"{path} has depth of size {depth.shape}, its camera {size}: must agree")
        values = torch.from_numpy(np.where(depth.valid, depth.values, 0)).to(self._device)
        return Map(values, torch.from_numpy(confidence).to(self._device) * (values > 0))


def save_map(path: Path, map_: Map, **more: np.ndarray) -> None:
    """Write depth, depth_valid, confidence and what else there is; SCENE depth as ``load_prediction`` reads it."""
    depth = map_.depth.cpu().numpy()
    save_arrays(
        path,
        depth=depth,
        depth_valid=depth > 0,
        confidence=map_.confidence.cpu().numpy().astype(np.float32),
        **more,
        meta=np.array('{"kind": "SCENE"}'),
    )
