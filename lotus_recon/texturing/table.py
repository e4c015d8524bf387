"""The sightings of all photos in one table, sorted by triangle, and the exposure of the photos against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb, srgb_of_linear
from lotus_recon.texturing.sightings import Sighting
from lotus_recon.types import BoolArray, FloatArray

_CLIPPED, _DARK = 250.0, 8.0  # mean colours beyond which a photo does not tell how bright the surface is
_SAMPLES = 20_000  # triangles that exposure is estimated from
_FEWEST = 30  # triangles that two photos must share
_EXACT = 0.05  # spread of the logarithm at which a pair of photos counts half
_PRIOR = 3.0  # weight of leaving a photo as it is; a pair that shares 10,000 triangles has 100


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


def exposure_gains(table: SightingTable, n_views: int) -> NDArray[np.float64]:
    """(V, 3) factors on linear light that make the photos agree on the triangles that they share; median 1.

    The median over shared triangles is the difference of two photos; least squares over all pairs, weighted by how much
    and how well they share, gives each photo its own. Photos that share nothing with others keep what they are.
    """
    known = table.whole & ~table.is_clipped() & (table.color.min(1) > _DARK)
    chosen = np.flatnonzero(np.bincount(table.face[known], minlength=len(table.start) - 1) >= 2)
    chosen = chosen[:: max(1, len(chosen) // _SAMPLES)]
    row = np.searchsorted(chosen, table.face)
    known &= np.isin(table.face, chosen)
    logs = np.full((len(chosen), n_views, 3), np.nan, np.float32)
    logs[row[known], table.view[known]] = np.log(linear_of_srgb(table.color[known] / 255))
    return np.exp(-_offsets(logs))


def _offsets(logs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(views, 3) of each photo, from (samples, views, 3) logarithms of light."""
    n_views = logs.shape[1]
    matrix = np.zeros((n_views, n_views))
    right = np.zeros((n_views, 3))
    for one in range(n_views):
        for other in range(one + 1, n_views):
            both = logs[:, one] - logs[:, other]
            both = both[np.isfinite(both[:, 0])]
            if len(both) < _FEWEST:
                continue
            difference = np.median(both, axis=0)
            spread = float(np.median(np.abs(both - difference)))  # large where the mesh or a pose is wrong
            weight = np.sqrt(len(both)) * _EXACT / (_EXACT + spread)
            matrix[[one, other], [one, other]] += weight
            matrix[[one, other], [other, one]] -= weight
            right[one] += weight * difference
            right[other] -= weight * difference
    shared = matrix.diagonal() > 0
    offsets = np.linalg.solve(matrix + _PRIOR * np.eye(n_views), right)
    if shared.any():
        offsets[shared] -= np.median(offsets[shared], axis=0)
    return np.asarray(offsets)
