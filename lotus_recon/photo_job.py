"""One photo of ``pipelines.single_view``, as its stages see it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.io.images import Photo, PhotoInfo, read_info, read_rgb, resize_rgb
from lotus_recon.types import Prediction

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
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) the photo at the size of its maps. Raises InputError when it cannot be decoded."""
        return resize_rgb(read_rgb(self.photo.path), *self.size)
