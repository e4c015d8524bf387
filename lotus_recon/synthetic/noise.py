"""Random functions of space from a seeded table: smooth noise, its sums over scales, and cells."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lotus_recon.types import FloatArray

_TABLE_SIDE = 64
# Octaves of the same table are moved apart by this many cells, so that their lattices do not line up at the origin.
_OCTAVE_SHIFT = np.array([17.31, 5.77, 41.13], np.float32)


class Noise:
    """Deterministic noise of one seed; repeats after 64 cells."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return np.random.default_rng(self.seed).random((_TABLE_SIDE,) * 3, np.float32)

    def smooth(self, points: FloatArray, frequency: float | tuple[float, float, float]) -> NDArray[np.float32]:
        """(N,) value noise in [0, 1] at points (N, 3), ``frequency`` cells per unit (per axis, or for all)."""
        position = np.asarray(points, np.float32) * np.asarray(frequency, np.float32)
        cell = np.floor(position)
        inside = position - cell
        eased = cell + inside * inside * (3 - 2 * inside)  # no creases at the cell borders
        values = ndimage.map_coordinates(self._table, eased.T, order=1, mode="grid-wrap", prefilter=False)
        return np.asarray(values, np.float32)

    def fractal(
        self,
        points: FloatArray,
        frequency: float | tuple[float, float, float],
        octaves: int = 5,
        gain: float = 0.55,
    ) -> NDArray[np.float32]:
        """(N,) noise summed over ``octaves`` scales, each twice as fine and ``gain`` times as strong; in [0, 1]."""
        total = np.zeros(len(points), np.float32)
        weights = gain ** np.arange(octaves)
        for octave, weight in enumerate(weights):
            x, y, z = np.broadcast_to(np.asarray(frequency, np.float32), 3) * 2**octave
            moved = np.asarray(points) + octave * _OCTAVE_SHIFT / np.array([x, y, z])
            total += weight * self.smooth(moved, (x, y, z))
        return total / np.float32(weights.sum())

    def of_cell(self, *index: NDArray, channel: int = 0) -> NDArray[np.float32]:
        """(N,) a random number in [0, 1] for every integer cell (up to three indices of shape (N,))."""
        cells = [np.asarray(axis).astype(np.int64) for axis in index]
        cells += [np.zeros_like(cells[0])] * (3 - len(cells))
        # Neighbouring cells and channels fall on unrelated entries of the table.
        mixed = [(cell * prime + channel * 29) % _TABLE_SIDE for cell, prime in zip(cells, (37, 23, 11), strict=True)]
        mixed[0] = (mixed[0] + 13 * (cells[1] // _TABLE_SIDE) + 7 * mixed[2]) % _TABLE_SIDE
        return np.asarray(self._table[mixed[0], mixed[1], mixed[2]])
