"""The photos of a scene as grey pyramids on a device, the last few kept."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import torch
from cachetools import LRUCache, cached
from kornia.color import rgb_to_grayscale
from torch.nn import functional

from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.images import read_rgb
from lotus_recon.refinement.matching import Photo
from lotus_recon.types import View

_LEVELS = 4  # each half the size of the one before
_SMALLEST_SIDE_PX = 24


class Photos:
    """``pyramid(view)``: the photo at full size, half, quarter, ...; finest first."""

    def __init__(self, images_dir: Path, refine_size: int, device: torch.device, kept: int) -> None:
        """``refine_size``: longer edge of the finest level in pixels, 0 as it is; ``kept``: photos held in memory."""
        self._images_dir, self._refine_size, self._device = images_dir, refine_size, device
        self.pyramid = cached(LRUCache(kept), key=attrgetter("name"))(self._made)

    def _made(self, view: View) -> tuple[Photo, ...]:
        """Levels of a photo. Raises InputError when it cannot be read."""
        rgb = torch.from_numpy(read_rgb(self._images_dir / view.name)).to(self._device)  # H W 3
        gray = rgb_to_grayscale(rgb.permute(2, 0, 1)[None] / 255)  # 1 1 H W
        width, height = fit_longer_edge(*view.camera.size, self._refine_size)
        levels = []
        for level in range(_LEVELS):
            w, h = max(1, round(width / 2**level)), max(1, round(height / 2**level))
            if level and min(w, h) < _SMALLEST_SIDE_PX:
                break
            small = (
                gray
                if (h, w) == gray.shape[2:]
                else functional.interpolate(gray, (h, w), mode="bilinear", antialias=True)
            )
            levels.append(Photo(view, small[0, 0], view.camera.resized(w, h)))
        return tuple(levels)
