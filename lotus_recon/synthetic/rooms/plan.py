"""The plan of a room: a rectangle with pieces cut out, its ceiling, its walls, and the openings in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.solids import turned_pose

Rect = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Wall:
    """A straight piece of wall. Seen from inside it runs from left to right."""

    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def length(self) -> float:
        """In metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def turn(self) -> float:
        """Turn about z, in radians, of what stands with its back to this wall."""
        return float(np.arctan2(self.end[1] - self.start[1], self.end[0] - self.start[0]))

    @property
    def world_from_wall(self) -> NDArray[np.float64]:
        """(4, 4); wall axes: x along the wall from its start, y out of the room, z up."""
        return turned_pose(*self.start, 0.0, self.turn)

    def point(self, along: float, inside: float) -> NDArray[np.float64]:
        """(2,) the place ``along`` metres from the start and ``inside`` metres away from the wall."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([self.start[0] + along * c + inside * s, self.start[1] + along * s - inside * c])


@dataclass(frozen=True)
class Opening:
    """A window or a door."""

    kind: str  # 'window' or 'door'
    wall: int
    start: float  # metres along the wall
    width: float
    bottom: float
    height: float

    @property
    def end(self) -> float:
        """Metres along the wall."""
        return self.start + self.width

    @property
    def top(self) -> float:
        """Metres above the floor."""
        return self.bottom + self.height


@dataclass(frozen=True)
class Ceiling:
    """Height along one axis of the room, straight between knots: flat, sloped, or a gable."""

    axis: int
    knots: tuple[float, ...]
    heights: tuple[float, ...]

    def at(self, x: float, y: float) -> float:
        """Height in metres above (x, y)."""
        return float(np.interp((x, y)[self.axis], self.knots, self.heights))


@dataclass(frozen=True)
class Plan:
    """The floor [0, width] x [0, depth] without the cuts, and what bounds it."""

    width: float
    depth: float
    ceiling: Ceiling
    cuts: tuple[Rect, ...] = ()
    openings: tuple[Opening, ...] = ()

    @cached_property
    def cells(self) -> tuple[Rect, ...]:
        """Rectangles that cover the floor without overlap; no cell crosses a knot of the ceiling."""
        xs, ys, inside = self._grid
        return tuple((xs[i], ys[j], xs[i + 1], ys[j + 1]) for i, j in np.argwhere(inside))

    @cached_property
    def walls(self) -> tuple[Wall, ...]:
        """All walls, those of cuts included."""
        return tuple([*self._walls_along_x(), *self._walls_along_y()])

    def is_outer(self, wall: Wall) -> bool:
        """Whether the wall is on the border of the rectangle, with the outside behind it."""
        (x0, y0), (x1, y1) = wall.start, wall.end
        return (x0 == x1 and x0 in (0.0, self.width)) or (y0 == y1 and y0 in (0.0, self.depth))

    def openings_of(self, wall: int) -> tuple[Opening, ...]:
        """The openings of one wall."""
        return tuple(opening for opening in self.openings if opening.wall == wall)

    @cached_property
    def _grid(self) -> tuple[list[float], list[float], NDArray[np.bool_]]:
        knots = [k for k in self.ceiling.knots if k > 0]
        x_knots, y_knots = (knots, []) if self.ceiling.axis == 0 else ([], knots)
        xs = _breaks([0.0, self.width, *x_knots, *(c for cut in self.cuts for c in cut[0::2])], self.width)
        ys = _breaks([0.0, self.depth, *y_knots, *(c for cut in self.cuts for c in cut[1::2])], self.depth)
        inside = np.ones((len(xs) - 1, len(ys) - 1), bool)
        for x0, y0, x1, y1 in self.cuts:
            for i, j in np.ndindex(*inside.shape):
                center = ((xs[i] + xs[i + 1]) / 2, (ys[j] + ys[j + 1]) / 2)
                inside[i, j] &= not (x0 < center[0] < x1 and y0 < center[1] < y1)
        return xs, ys, inside

    def _walls_along_x(self) -> Iterator[Wall]:
        xs, ys, inside = self._grid
        padded = np.pad(inside, ((0, 0), (1, 1)))
        for j, y in enumerate(ys):
            above, below = padded[:, j + 1], padded[:, j]
            for a, b in _runs(below & ~above):  # the room is at smaller y: seen from inside, right is +x
                yield Wall((xs[a], y), (xs[b], y))
            for a, b in _runs(above & ~below):
                yield Wall((xs[b], y), (xs[a], y))

    def _walls_along_y(self) -> Iterator[Wall]:
        xs, ys, inside = self._grid
        padded = np.pad(inside, ((1, 1), (0, 0)))
        for i, x in enumerate(xs):
            right, left = padded[i + 1], padded[i]
            for a, b in _runs(right & ~left):  # the room is at larger x: seen from inside, right is +y
                yield Wall((x, ys[a]), (x, ys[b]))
            for a, b in _runs(left & ~right):
                yield Wall((x, ys[b]), (x, ys[a]))


def _breaks(values: list[float], limit: float) -> list[float]:
    return sorted({value for value in values if 0 <= value <= limit})


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and past-the-last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    for start, stop in edges.reshape(-1, 2):
        yield int(start), int(stop)
