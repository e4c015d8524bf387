"""Rectangles packed on shelves: by height, in rows. As tight as charts allow, and done in no time for 100,000."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STEP = 64  # texels by which the side of a page grows


@dataclass(frozen=True, eq=False)
class Packing:
    """Where rectangles are: ``corner`` (N, 2) of the lowest x and y, and ``page`` (N,); the ``size`` of all pages."""

    corner: NDArray[np.int64]
    page: NDArray[np.int64]
    pages: int
    size: tuple[int, int]  # (width, height)


def pack(sizes: NDArray[np.int64], side: int | None, largest: int, most: int) -> Packing | None:
    """Rectangles (N, 2) on one square page of ``side``, or on as few texels as they need (None), at most ``most``.

    Pages are at most ``largest`` on a side. None where that does not do.
    """
    if side is not None:
        found = _shelves(sizes, side)
        return found if found is not None and found.pages == 1 and side * side <= most else None
    least = int(np.ceil(max(np.sqrt(sizes.prod(1).sum()), sizes.max()) / _STEP)) * _STEP
    for trial in range(min(least, largest), largest + 1, _STEP):
        found = _shelves(sizes, trial)
        if found is None:
            return None
        if found.pages == 1 or trial + _STEP > largest:
            return found if found.pages * found.size[0] * found.size[1] <= most else None
    return None


def _shelves(sizes: NDArray[np.int64], side: int) -> Packing | None:
    """Rows of falling height, page after page. None for a rectangle that is larger than a page."""
    if sizes.max() > side:
        return None
    corner, page = np.zeros_like(sizes), np.zeros(len(sizes), np.int64)
    x = y = height = number = 0
    for i in np.lexsort((-sizes[:, 0], -sizes[:, 1])):
        width, tall = sizes[i]
        if x + width > side:
            x, y, height = 0, y + height, 0
        if height == 0 and y + tall > side:
            y, number = 0, number + 1
        height = max(height, tall)
        corner[i], page[i] = (x, y), number
        x += width
    return Packing(corner, page, number + 1, (side, side))
