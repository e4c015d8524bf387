"""``--export mvsnet``: cameras, pairs of views, depth and confidence, as MVSNet and its kin read them.

Intrinsics are those of COLMAP, with the first pixel centre at (0.5, 0.5), as in MVSNet's own conversion from COLMAP.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.targets.base import Target
from lotus_recon.types import View
from lotus_recon.workspace import write_atomically

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

_PLANES = 192  # depths that the range is divided into, as in MVSNet
_MARGIN = 0.05  # that the range reaches beyond the depth of a view
_SOURCES = 10  # views in pair.txt


class _Dataset:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._overlap, self._nearest = scene.overlap, scene.nearest

    def add(self, view: ExportView) -> str:
        stem = f"{self._scene.scene.index[view.view.name]:08d}"
        write_pfm(self._folder / f"depth_est/{stem}.pfm", view.depth)
        write_pfm(self._folder / f"confidence/{stem}.pfm", view.confidence)
        known = view.depth[view.depth > 0]  # of a view without: from the nearest depth of the scene to ten times that
        low, high = (known.min(), known.max()) if len(known) else (self._nearest, 10 * self._nearest)
        text = camera_text(view.view, (1 - _MARGIN) * float(low), (1 + _MARGIN) * float(high))
        write_atomically(self._folder / f"cams/{stem}_cam.txt", lambda part: part.write_text(text))
        return view.copy_photo(self._folder, f"images/{stem}.jpg")

    def finish(self) -> None:
        text = pair_text(self._overlap)
        write_atomically(self._folder / "pair.txt", lambda part: part.write_text(text))


def camera_text(view: View, low: float, high: float) -> str:
    """A _cam.txt: world to camera, intrinsics, and the range of depth (first, step, number, last)."""
    pose = "\n".join(" ".join(repr(float(value)) for value in row) for row in view.cam_from_world)
    K = "\n".join(" ".join(repr(float(value)) for value in row) for row in view.camera.K)
    step = (high - low) / (_PLANES - 1)
    return f"extrinsic\n{pose}\n\nintrinsic\n{K}\n\n{low!r} {step!r} {_PLANES} {high!r}\n"


def pair_text(scores: NDArray[np.float64]) -> str:
    """A pair.txt: for each view the others in the order of their scores (V, V), those above 0."""
    lines = [str(len(scores))]
    for index, row in enumerate(scores):
        order = [j for j in np.argsort(-row, kind="stable")[:_SOURCES] if row[j] > 0]
        lines += [str(index), " ".join([str(len(order)), *(f"{j} {row[j]:.6f}" for j in order)])]
    return "\n".join(lines) + "\n"


def write_pfm(path: Path, values: NDArray[np.float32]) -> None:
    """Write (H, W) as PFM, the last row first, little-endian."""
    height, width = values.shape
    data = f"Pf\n{width} {height}\n-1.0\n".encode() + np.ascontiguousarray(values[::-1], "<f4").tobytes()
    write_atomically(path, lambda part: part.write_bytes(data))


TARGET = Target("MVSNet and learned stereo that reads its layout", _Dataset, "z-depth, unit of the poses; 0 is unknown")
