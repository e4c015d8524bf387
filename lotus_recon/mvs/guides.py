"""What the network says of a view: aligned depth, predicted normals, and which pixels may have depth at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.consistency import SampledDepth, grid_samples
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.scene_maps import SCENE_DEPTH, SceneMaps
from lotus_recon.mvs.planes import planes_of
from lotus_recon.mvs.sources import Floats
from lotus_recon.types import BoolArray, FloatArray, View

_SAMPLES = 400  # pixels that stand for the surface of a view


@dataclass(frozen=True, eq=False)
class Guide:
    """The network's maps of a view."""

    depth: NDArray[np.float32] | None  # (H, W) aligned, 0 where unknown; None: the view has no aligned map
    normals: FloatArray | None  # (H, W, 3) zero where unknown; None: none were predicted
    allowed: BoolArray  # (H, W) pixels that may have depth: a mask, or the border of the photo, excludes the others

    def planes(self, view: View) -> list[Floats]:
        """Planes (H, W, 3) to start from: the aligned depth with its own slopes, and with those of the normals."""
        if self.depth is None:
            return []
        slopes = [normals_from_depth(self.depth, self.depth > 0, view.camera)[0], self.normals]
        return [planes_of(self.depth, view.camera, normals) for normals in slopes if normals is not None]

    def samples(self) -> SampledDepth:
        """Some pixels with aligned depth."""
        depth = np.zeros((1, 1), np.float32) if self.depth is None else self.depth
        row, col = grid_samples(depth > 0, _SAMPLES)
        return SampledDepth(np.stack([col + 0.5, row + 0.5], axis=1), depth[row, col].astype(np.float64))


class Guides:
    """The maps in the folders of the alignment and the prediction; the latter may be None."""

    def __init__(self, depth_dir: Path, prediction_dir: Path | None) -> None:
        self._aligned = SceneMaps(depth_dir, ("depth",), SCENE_DEPTH)
        self._predicted = None if prediction_dir is None else SceneMaps(prediction_dir, ("depth", "normals"))

    def guide(self, view: View) -> Guide:
        """The maps of a view. Raises InputError for files that cannot be read."""
        depth = self._aligned.load(view).depth_or_zero if self._aligned.has(view) else None
        if self._predicted is None or not self._predicted.has(view):
            return Guide(depth, None, np.ones((view.camera.height, view.camera.width), bool))
        predicted = self._predicted.load(view)
        normals = predicted.normals
        known = [each.valid for each in (predicted.depth, normals) if each is not None]
        return Guide(
            depth, None if normals is None else normals.values * normals.valid[..., None], np.logical_or.reduce(known)
        )
