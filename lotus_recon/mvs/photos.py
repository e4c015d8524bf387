"""The photos of a scene in grey, the last few kept."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.images import read_rgb
from lotus_recon.mvs.sources import Floats, Photo
from lotus_recon.types import View


class Photos:
    """``photo(view)``: the photo of a view and its camera. Raises InputError when it cannot be read."""

    def __init__(self, images_dir: Path, match_size: int, kept: int) -> None:
        """``match_size``: longer edge in pixels, 0 as it is; ``kept``: photos held in memory."""
        self._images_dir, self._match_size = images_dir, match_size
        self.photo = cached(LRUCache(kept), key=attrgetter("name"))(self._read)

    def _read(self, view: View) -> Photo:
        gray = gray_of(self.rgb(view))
        width, height = fit_longer_edge(*view.camera.size, self._match_size)
        if (width, height) != gray.shape[::-1]:
            gray = np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        return Photo(gray, view.camera.resized(width, height), view.cam_from_world)

    def rgb(self, view: View) -> NDArray[np.uint8]:
        """(H, W, 3) the photo of a view in colour, at full size. Raises InputError when it cannot be read."""
        return read_rgb(self._images_dir / view.name)


def gray_of(rgb: NDArray[np.uint8]) -> Floats:
    """(H, W) grey values, 0 to 1, of a photo (H, W, 3)."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32) / np.float32(255)
