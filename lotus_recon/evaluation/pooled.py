"""Scores of normals over all pixels of a set, without a second copy of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.evaluation.metrics import NORMAL_LIMITS_DEG

_BINS = 18_000  # of a hundredth of a degree


class AnglePool:
    """Angles of many photos. They are kept as float32: 4 bytes per pixel, exact to a hundred-thousandth of a degree."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float32]] = []
        self._sum = self._squares = 0.0
        self._below = dict.fromkeys(NORMAL_LIMITS_DEG, 0)
        self.count = 0

    def add(self, angles_deg: NDArray[np.float64]) -> None:
        """Take up the angles (N,) in degrees of one photo."""
        self._parts.append(angles_deg.astype(np.float32))
        self._sum += float(angles_deg.sum())
        self._squares += float(angles_deg @ angles_deg)
        for name, limit in NORMAL_LIMITS_DEG.items():
            self._below[name] += int((angles_deg < limit).sum())
        self.count += len(angles_deg)

    def scores(self) -> dict[str, float]:
        """What ``normal_metrics`` returns, over all pixels. Raises InputError when there are none."""
        if self.count == 0:
            raise InputError("normals: no valid pixel with ground truth to compare")
        return {
            "mean": self._sum / self.count,
            "median": self.median(),
            "rmse": float(np.sqrt(self._squares / self.count)),
            **{name: 100 * below / self.count for name, below in self._below.items()},
        }

    def median(self) -> float:
        """The exact median: a histogram says in which bins the middle lies, and only these are sorted."""
        histogram = sum(np.bincount(_bin(part), minlength=_BINS + 1) for part in self._parts)
        before = np.concatenate([[0], np.cumsum(histogram)])
        middle = [(self.count - 1) // 2, self.count // 2]
        low, high = (int(np.searchsorted(before, rank, side="right")) - 1 for rank in middle)
        near = np.sort(np.concatenate([part[(_bin(part) >= low) & (_bin(part) <= high)] for part in self._parts]))
        return float(np.mean([near[rank - before[low]] for rank in middle], dtype=np.float64))


def _bin(angles_deg: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(angles_deg * np.float32(_BINS / 180), np.int64)
