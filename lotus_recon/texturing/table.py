"""The sightings of all photos in one table, sorted by triangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb, srgb_of_linear
from lotus_recon.texturing.sightings import Sighting
from lotus_recon.types import BoolArray, FloatArray

_CLIPPED = 250.0  # mean colour from which on a photo does not tell how bright the surface is


@dataclass(frozen=True, eq=False)
class SightingTable:
    """E sightings; those of triangle f are the rows ``start[f]`` to ``start[f + 1]``, in the order of the views."""

    start: NDArray[np.int64]  # (F + 1,)
    face: NDArray[np.int32]  # (E,)
    view: NDArray[np.int32]  # (E,)
    whole: BoolArray  # (E,)
    area_px: NDArray[np.float32]  # (E,)
    detail: NDArray[np.float32]  # (E,)
    inset: NDArray[np.float32]  # (E,)
    color: NDArray[np.float32]  # (E, 3)

    @classmethod
    def of(cls, sightings: Sequence[Sighting], n_faces: int) -> SightingTable:
        """The table of one sighting per view."""
        face = np.concatenate([sighting.faces for sighting in sightings])
        view = np.repeat(np.arange(len(sightings), dtype=np.int32), [len(sighting.faces) for sighting in sightings])
        order = np.argsort(face, kind="stable")
        columns = (
            np.concatenate([getattr(sighting, name) for sighting in sightings])[order]
            for name in ("whole", "area_px", "detail", "inset", "color")
        )
        start = np.searchsorted(face[order], np.arange(n_faces + 1))
        return cls(start, face[order], view[order], *columns)

    @property
    def count(self) -> NDArray[np.int64]:
        """(F,) photos that see each triangle."""
        return np.diff(self.start)

    def exposed(self, gains: FloatArray) -> SightingTable:
        """The table with colours as they are after the gains (V, 3) of the V photos."""
        color = 255 * srgb_of_linear(linear_of_srgb(self.color / 255) * gains[self.view])
        return replace(self, color=color.astype(np.float32))

    def is_clipped(self) -> BoolArray:
        """(E,) where the photo is so bright that a channel tells nothing; before gains."""
        return self.color.max(1) >= _CLIPPED
