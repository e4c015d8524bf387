"""Maps that a network made of photos in earlier runs of an output folder, for photos that are the same by content.

A run with a photo more or less estimates the cameras of all photos a little differently, and so undistorts each a
little differently. Kept maps are resampled then; a network need not see a photo twice that moved by a few pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.durable import link_or_copy
from lotus_recon.errors import InputError
from lotus_recon.geometry.resampling import Sampling, sample_depth, sample_normals
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.maps import load_prediction
from lotus_recon.types import Camera, Prediction
from lotus_recon.workspace import file_fingerprint, write_json

_SAME_PX = 0.1  # moved by less, a map is taken as it is
_MOST_MOVED = 0.01  # of the longer edge; moved by more, the network sees another picture
_LEAST_SEEN = 0.99  # share of a view that kept maps must cover


@dataclass(frozen=True)
class Shot:
    """How a photo became the image that the network sees: its content and that of its mask, and both cameras."""

    content: str
    mask: str
    source: SourceCamera
    camera: Camera


class KeptMaps:
    """The maps in ``folder``, one set for each photo, made with what the fingerprint ``made_with`` stands for.

    With ``exact``, only maps of the very same cameras are used.
    """

    def __init__(self, folder: Path, made_with: str, exact: bool) -> None:
        self._folder, self._made_with, self._exact = folder, made_with, exact

    def keep(self, shot: Shot, maps: Path) -> None:
        """Keep the file ``maps`` of a view: as a hard link, which takes no space of its own."""
        link_or_copy(maps, self._maps(shot))
        about = {"made_with": self._made_with, "mask": shot.mask, "maps": file_fingerprint(maps)}
        write_json(self._about(shot), {**about, "source": asdict(shot.source), "camera": asdict(shot.camera)})

    def give(self, shot: Shot, target: Path, save: Callable[[Prediction], object]) -> bool:
        """Bring the maps of a view to ``target``: the very file, or resampled by ``save``. False: there are none."""
        about, maps = self._read_about(shot), self._maps(shot)
        if about is None or about["made_with"] != self._made_with or about["mask"] != shot.mask:
            return False
        try:
            if file_fingerprint(maps) != about["maps"]:  # changed by hand, or cut
                return False
            before = SourceCamera(**{**about["source"], "params": tuple(about["source"]["params"])})
            seen_by = Camera(**about["camera"])
            if (before, seen_by) == (shot.source, shot.camera):
                link_or_copy(maps, target)
                return True
            return not self._exact and _resample(shot, before, seen_by, maps, target, save)
        except (OSError, InputError, TypeError, KeyError):
            return False

    def _maps(self, shot: Shot) -> Path:
        return self._folder / f"{shot.content}.npz"

    def _about(self, shot: Shot) -> Path:
        return self._folder / f"{shot.content}.json"

    def _read_about(self, shot: Shot) -> Mapping[str, Any] | None:
        try:
            about = json.loads(self._about(shot).read_text())
        except (OSError, ValueError, RecursionError):
            return None
        is_whole = isinstance(about, dict) and {"made_with", "mask", "maps", "source", "camera"} <= about.keys()
        return about if is_whole else None


def _resample(
    shot: Shot,
    before: SourceCamera,
    seen_by: Camera,
    maps: Path,
    target: Path,
    save: Callable[[Prediction], object],
) -> bool:
    """Bring maps of other cameras to those of ``shot``; False where they are too different."""
    xy = _seen_before(shot, before, seen_by)
    sampling = Sampling(xy, (seen_by.height, seen_by.width))
    height, width = xy.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    own = np.stack([columns * seen_by.width / width, rows * seen_by.height / height], axis=-1)
    moved = float(np.nanmax(np.abs(xy - own), initial=0.0))
    if moved > _MOST_MOVED * max(seen_by.size) or sampling.inside.mean() < _LEAST_SEEN:
        return False
    if moved < _SAME_PX and shot.camera.size == seen_by.size:
        link_or_copy(maps, target)
        return True
    stored = load_prediction(maps)
    depth = None if stored.depth is None else sample_depth(stored.depth, sampling)
    normals = None if stored.normals is None else sample_normals(stored.normals, sampling, stored.depth)
    save(replace(stored, depth=depth, normals=normals))
    return True


def _seen_before(shot: Shot, before: SourceCamera, seen_by: Camera) -> NDArray[np.float64]:
    """(H, W, 2) where in the earlier undistorted image each pixel of the present one lies. NaN where it was not seen.

    The photo is the same: its pixels do not move, whatever is thought of the lens.
    """
    in_photo = shot.source.xy_of(shot.camera).astype(np.float64)
    in_photo *= (before.width / shot.source.width, before.height / shot.source.height)
    rays = before.rays_of(in_photo.reshape(-1, 2))[:, :2]
    xy = rays * (seen_by.fx, seen_by.fy) + (seen_by.cx, seen_by.cy)
    return xy.reshape(in_photo.shape)
