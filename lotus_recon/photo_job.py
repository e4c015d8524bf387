"""One photo of ``pipelines.single_view``, as its stages see it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.images import Photo, PhotoInfo, read_info, read_mask, read_rgb, resize_rgb
from lotus_recon.io.photo_checks import mask_of
from lotus_recon.types import BoolArray, Prediction

if TYPE_CHECKING:
    from lotus_recon.errors import ReconError


@dataclass(eq=False)
class PhotoJob:
    """A photo, the options, and the longer edge in pixels at which it is worked on (0: as it is)."""

    photo: Photo
    config: Any  # SingleViewConfig; see ``stages.options_of``
    longer_edge: int
    # What the network made of it together with other photos, or why it could not; None before.
    predicted: Prediction | ReconError | None = None
    masks_folder: Path | None = None  # None: masks/ beside the photo, if it is there

    @property
    def label(self) -> str:
        """The name of the photo."""
        return self.photo.name

    @functools.cached_property
    def info(self) -> PhotoInfo:
        """Size and lens of the photo. Raises InputError when it cannot be opened."""
        return read_info(self.photo.path)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of its maps."""
        return fit_longer_edge(self.info.width, self.info.height, self.longer_edge)

    @functools.cached_property
    def mask(self) -> Path | None:
        """The file of its mask, which may be the photo itself. Raises InputError when it does not fit the photo."""
        return mask_of(self.photo, self.masks_folder)

    @property
    def usable(self) -> BoolArray | None:
        """(H, W) True at the pixels of its maps that the mask leaves; None without mask."""
        if self.mask is None:
            return None
        full = read_mask(self.mask, self.info.width, self.info.height)
        return cv2.resize(full.astype(np.uint8), self.size, interpolation=cv2.INTER_NEAREST) > 0

    @functools.cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) the photo at the size of its maps. Raises InputError when it cannot be decoded."""
        return resize_rgb(read_rgb(self.photo.path), *self.size)
