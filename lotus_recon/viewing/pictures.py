"""The photos and maps of a scene as small images for the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.images import resize_rgb
from lotus_recon.io.visualization import fitted
from lotus_recon.types import View
from lotus_recon.viewing.glb import jpeg

_WIDEST, _NARROWEST = 640, 120
_PIXELS = 24e6  # of all images of a page together: some 3 MB of JPEG
_IMAGES_PER_VIEW = 4
_QUALITY = 80
_ATLAS_SIDE = 2048
_TILE = 128  # pixels, at most


@dataclass(frozen=True, eq=False)
class ViewImages:
    """Images of one view by name, each made when it is asked for, with the meaning of its colours."""

    view: View
    images: Mapping[str, tuple[Callable[[], NDArray[np.uint8]], str]]


def width_for(views: Sequence[View]) -> int:
    """Width in pixels of every image of a page: smaller where there are many photos, so that the page stays small."""
    if not views:
        return _WIDEST
    aspect = float(np.median([view.camera.height / view.camera.width for view in views]))
    width = math.sqrt(_PIXELS / (_IMAGES_PER_VIEW * len(views) * aspect))
    return round(min(max(width, _NARROWEST), _WIDEST))


def image_file(rgb: NDArray[np.uint8], width: int) -> bytes:
    """(H, W, 3), reduced to ``width`` pixels, as JPEG."""
    return jpeg(fitted(rgb, width), _QUALITY)


@dataclass(frozen=True)
class AtlasGrid:
    """How the thumbnails of a scene lie in one image: columns, rows, and pixels of a tile."""

    columns: int
    rows: int
    tile: tuple[int, int]

    @classmethod
    def of(cls, count: int) -> AtlasGrid:
        """For ``count`` photos: nearly square, each tile as large as a texture of 2048 pixels allows."""
        columns = max(1, math.ceil(math.sqrt(count)))
        rows = max(1, math.ceil(count / columns))
        width = min(_TILE, _ATLAS_SIDE // columns)
        return cls(columns, rows, (width, max(1, round(0.75 * width))))


def atlas(photos: Sequence[Callable[[], NDArray[np.uint8]] | None], grid: AtlasGrid) -> bytes:
    """The thumbnails of photos (H, W, 3) in one JPEG, row by row, each filling its tile; grey where there is none."""
    width, height = grid.tile
    sheet = np.full((grid.rows * height, grid.columns * width, 3), 60, np.uint8)
    for number, photo in enumerate(photos):
        if photo is not None:
            top, left = height * (number // grid.columns), width * (number % grid.columns)
            sheet[top : top + height, left : left + width] = resize_rgb(photo(), width, height)
    return jpeg(sheet, _QUALITY)
