"""What a network can learn a photo from: depth that photos agree on, and sparse points, at the size of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.alignment.control_points import Observations
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.io.images import read_rgb
from lotus_recon.io.scene_maps import SceneMaps, ViewMaps
from lotus_recon.models import tensors
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE
from lotus_recon.types import BoolArray, Scene, View

_GOOD_SIGMA = 0.01  # relative error of a sparse point that counts half
_CELLS = 12  # along the longer side: of these every ``_KEPT_ASIDE``th is kept aside
_KEPT_ASIDE = 6


@dataclass(frozen=True, eq=False)
class Targets:
    """A photo at the size (h, w) of the network's input, and what is known of its depth."""

    image: NDArray[np.uint8]  # (h, w, 3)
    depth: NDArray[np.float32]  # (h, w) z-depth in the unit of the scene, 0 where unknown
    weight: NDArray[np.float32]  # (h, w) 0 to 1; 0 where unknown
    aside: BoolArray  # (h, w) what is not learnt from, to stop by
    points: int  # sparse points among the known pixels

    @property
    def learnt(self) -> BoolArray:
        """(h, w) pixels to learn from."""
        return (self.weight > 0) & ~self.aside

    @property
    def checked(self) -> BoolArray:
        """(h, w) pixels with known depth that are kept aside."""
        return (self.weight > 0) & self.aside


class TargetSource:
    """Targets of the views of a scene, read one at a time."""

    def __init__(self, scene: Scene, images_dir: Path, matched: SceneMaps | None, usable: BoolArray, seed: int) -> None:
        """``matched``: depth by multi-view stereo; ``usable`` (P,): sparse points that may be learnt from."""
        self._scene, self._images_dir, self._matched = scene, images_dir, matched
        self._observed, self._usable, self._seed = Observations.of(scene), usable, seed

    def of(self, index: int, size: tuple[int, int]) -> Targets:
        """The targets of view ``index`` at the ``size`` (h, w) of the network's input."""
        view = self._scene.views[index]
        depth, weight = matched_at(self._matched, view, size)
        count = self._add_points(index, size, depth, weight)
        pixels = tensors.to_tensor([read_rgb(self._images_dir / view.name)], torch.device("cpu"))
        image = ((tensors.resize(pixels, *size)[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        rng = np.random.default_rng([self._seed, index])
        return Targets(image, depth, weight, _cells_aside(size, rng), count)

    def _add_points(
        self, index: int, size: tuple[int, int], depth: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> int:
        """Put the sparse points where no depth was matched; their number."""
        points, view = self._scene.points, self._scene.views[index]
        rows = points.rows_of(index)
        z, sigma = self._observed.depth[rows], self._observed.sigma[rows]
        keep = self._usable[points.obs_point[rows]] & (z > 0) & np.isfinite(sigma)
        scale = np.array(size[::-1]) / view.camera.size
        row, col = pixel_index(points.obs_xy[rows][keep] * scale, *size)
        order = np.argsort(-sigma[keep])  # of several points in a pixel the surest is written last
        order = order[weight[row[order], col[order]] == 0]
        row, col = row[order], col[order]
        depth[row, col] = z[keep][order]
        weight[row, col] = 1 / (1 + (sigma[keep][order] / _GOOD_SIGMA) ** 2)
        return len(np.unique(row * size[1] + col))


def matched_at(
    matched: SceneMaps | None, view: View, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth (h, w) that photos decide, at the nearest pixel, and its confidence; 0 where they decide none."""
    if matched is None or not matched.has(view):
        return np.zeros(size, np.float32), np.zeros(size, np.float32)
    maps = matched.load(view)
    row, col = (((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size, maps.weight.shape, strict=True))
    at = np.ix_(row, col)
    depth = matched_depth(maps)[at]
    return depth, np.where(depth > 0, maps.weight[at], np.float32(0))


def matched_depth(maps: ViewMaps) -> NDArray[np.float32]:
    """(H, W) depth that photos decide, 0 elsewhere."""
    return np.where(maps.weight > FILLED_CONFIDENCE, maps.depth_or_zero, np.float32(0))


def _cells_aside(size: tuple[int, int], rng: np.random.Generator) -> BoolArray:
    """(h, w) some of the cells of a grid."""
    cell = -(-max(size) // _CELLS)
    row, col = (np.arange(n) // cell for n in size)
    chosen = rng.random((row[-1] + 1, col[-1] + 1)) < 1 / _KEPT_ASIDE
    return np.asarray(chosen[np.ix_(row, col)], bool)


def views_to_learn(sizes: Sequence[tuple[int, int]], most_pixels: int) -> list[int]:
    """Indices of views, evenly spread, whose targets (h, w) have ``most_pixels`` together."""
    pixels = np.mean([h * w for h, w in sizes])
    count = min(len(sizes), max(1, int(most_pixels / pixels)))
    return [int(i) for i in np.unique(np.linspace(0, len(sizes) - 1, count).round())]
