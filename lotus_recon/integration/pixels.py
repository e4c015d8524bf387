"""The pixels of a mask as a graph, whose edges join horizontal and vertical neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import kernel
from lotus_recon.types import BoolArray


class EdgeLists(NamedTuple):
    """The edges of pixel p are those from ``start[p]`` to ``start[p + 1]``."""

    start: NDArray[np.int32]  # (P + 1,)
    other: NDArray[np.int32]  # (2 E,) the pixel at the other end
    edge: NDArray[np.int32]  # (2 E,) number of the edge


@dataclass(frozen=True, eq=False)
class PixelGraph:
    """P pixels in row-major order and E edges from ``first`` to the pixel to the right of it, then to the one below."""

    mask: BoolArray  # (H, W)
    rows: NDArray[np.int64]  # (P,)
    cols: NDArray[np.int64]  # (P,)
    first: NDArray[np.int64]  # (E,)
    second: NDArray[np.int64]  # (E,)
    horizontal: int  # how many of the edges, which come first

    @classmethod
    def of(cls, mask: BoolArray) -> PixelGraph:
        """The graph of a mask (H, W)."""
        rows, cols = np.nonzero(mask)
        index = np.full(mask.shape, -1)
        index[rows, cols] = np.arange(len(rows))
        right = mask[:, :-1] & mask[:, 1:]
        below = mask[:-1] & mask[1:]
        first = np.concatenate([index[:, :-1][right], index[:-1][below]])
        second = np.concatenate([index[:, 1:][right], index[1:][below]])
        return cls(mask, rows, cols, first, second, int(right.sum()))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def edge_lists(self) -> EdgeLists:
        """The edges of every pixel."""
        start = np.zeros(len(self) + 1, np.int32)
        other, edge = np.empty((2, 2 * len(self.first)), np.int32)
        _list_edges(self.first, self.second, start, other, edge)
        return EdgeLists(start, other, edge)

    def image(self, values: NDArray, fill: float) -> NDArray:
        """(H, W) values (P,) of the pixels in their places."""
        image = np.full(self.mask.shape, fill, values.dtype)
        image[self.rows, self.cols] = values
        return image

    def edge_image(self, values: NDArray, fill: float) -> NDArray:
        """(H, W, 2) values (E,) of the edges at their first pixel: to the right, and below."""
        image = np.full((*self.mask.shape, 2), fill, values.dtype)
        axis = (np.arange(len(values)) >= self.horizontal).astype(int)
        image[self.rows[self.first], self.cols[self.first], axis] = values
        return image

    def sides(self, values: NDArray) -> tuple[NDArray, NDArray]:
        """(2, P) each: values (E,) of the edges ahead of every pixel (right, below) and behind it (left, above).

        Zero where there is no such edge.
        """
        ahead, behind = np.zeros((2, 2, len(self)), values.dtype)
        parts = slice(0, self.horizontal), slice(self.horizontal, None)
        for axis, part in enumerate(parts):
            ahead[axis, self.first[part]] = values[part]
            behind[axis, self.second[part]] = values[part]
        return ahead, behind

    def at_first(self, values: NDArray) -> NDArray:
        """(E,) values (2, P), one for each axis, at the first pixel of every edge."""
        return self._at(values, self.first)

    def at_second(self, values: NDArray) -> NDArray:
        """(E,) values (2, P), one for each axis, at the second pixel of every edge."""
        return self._at(values, self.second)

    def _at(self, values: NDArray, pixels: NDArray[np.int64]) -> NDArray:
        h = self.horizontal
        return np.concatenate([values[0, pixels[:h]], values[1, pixels[h:]]])


@kernel
def _list_edges(first: Any, second: Any, start: Any, other: Any, edge: Any) -> None:
    for e in range(len(first)):
        start[first[e] + 1] += 1
        start[second[e] + 1] += 1
    for i in range(len(start) - 1):
        start[i + 1] += start[i]
    place = start.copy()
    for e in range(len(first)):
        i, j = first[e], second[e]
        other[place[i]], edge[place[i]] = j, e
        other[place[j]], edge[place[j]] = i, e
        place[i] += 1
        place[j] += 1
