"""What one scale and shift per frame leave: smooth fields that bring neighbouring frames to agree, point by point."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import FloatArray
from lotus_recon.video.flow import COLUMNS, ROWS
from lotus_recon.video.temporal import REACH

_PASSES = 4  # a field reaches _PASSES times the longest REACH frames far
_OWN = 0.3  # weight of what the network says, against each frame that sees the same point
_SMOOTH_CELLS = 0.8  # standard deviation of the smoothing over cells: some have no point in common with any frame
_ALIKE = 2.0  # mean deviations by which the values of a point may differ: an edge, or another thing, differs by more


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, and points it shares with those before it: by distance, samples (S, 5) of ``flow.sampled``."""

    scene: int
    scale: float
    shift: float
    infinity: float  # the value of points at infinity, before scale and shift
    spread: float  # mean deviation of its values, after scale
    samples: dict[int, NDArray[np.float32]]


@dataclass(eq=False)
class _Waiting:
    seen: Seen
    before: NDArray[np.float32]  # (ROWS, COLUMNS) field of the pass before
    wanted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ROWS * COLUMNS))  # weighted sum
    weight: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ROWS * COLUMNS))  # of the other frames

    def field(self) -> NDArray[np.float32]:
        wanted, weight = (
            cv2.GaussianBlur(each.reshape(ROWS, COLUMNS), (0, 0), _SMOOTH_CELLS) for each in (self.wanted, self.weight)
        )
        return np.asarray(wanted / (weight + _OWN), np.float32)


def fields(frames: Iterable[Seen]) -> Iterator[NDArray[np.float32]]:
    """What to add to the values of each frame after its scale and shift: (ROWS, COLUMNS), one per cell of the grid.

    Each pass moves every frame towards the robust mean of what its neighbours and it say (Jacobi steps of a least
    squares problem over all frames). Only a few frames are in memory at once.
    """
    passed: Iterator[tuple[Seen, NDArray[np.float32]]]
    passed = ((frame, np.zeros((ROWS, COLUMNS), np.float32)) for frame in frames)
    for _ in range(_PASSES):
        passed = _pass(passed)
    return (found for _, found in passed)


def full_size(found: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A field (ROWS, COLUMNS) at every pixel (H, W) of a map."""
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _pass(frames: Iterable[tuple[Seen, NDArray[np.float32]]]) -> Iterator[tuple[Seen, NDArray[np.float32]]]:
    waiting: deque[_Waiting] = deque()
    for seen, before in frames:
        second = _Waiting(seen, before)
        for distance, samples in seen.samples.items():
            if distance <= len(waiting) and waiting[-distance].seen.scene == seen.scene:
                _compare(waiting[-distance], second, samples)
        waiting.append(second)
        if len(waiting) > max(REACH):
            done = waiting.popleft()
            yield done.seen, done.field()
    for done in waiting:
        yield done.seen, done.field()


def _compare(first: _Waiting, second: _Waiting, samples: NDArray[np.float32]) -> None:
    """Note in both frames what the other says of the points they share."""
    cells = np.flatnonzero(np.isfinite(samples[:, 0]))
    if not len(cells):
        return
    here, there, change, x, y = samples[cells].T.astype(np.float64)
    a, b = first.seen, second.seen
    at_infinity = a.scale * a.infinity + a.shift
    own, other = first.before.ravel()[cells], _at(second.before, x, y)
    plain_here = a.scale * here + a.shift - at_infinity
    plain_there = b.scale * there + b.shift - at_infinity
    lacks = change * (plain_here + own) - (plain_there + other)  # the second, of what the first says
    weight = 1 / (1 + (lacks / (_ALIKE * b.spread)) ** 2) ** 2
    cells_there = _cells(x, y)
    second.wanted += np.bincount(cells_there, weight * (lacks + other), ROWS * COLUMNS)
    second.weight += np.bincount(cells_there, weight, ROWS * COLUMNS)
    first.wanted[cells] += weight * (own - lacks / change)
    first.weight[cells] += weight


def _cells(x: FloatArray, y: FloatArray) -> NDArray[np.int64]:
    """Number (N,) of the cell of the grid at positions in shares of the frame."""
    columns = np.clip((x * COLUMNS).astype(np.int64), 0, COLUMNS - 1)
    return np.clip((y * ROWS).astype(np.int64), 0, ROWS - 1) * COLUMNS + columns


def _at(found: NDArray[np.float32], x: FloatArray, y: FloatArray) -> NDArray[np.float64]:
    """A field at positions (N,) in shares of the frame."""
    columns, rows = ((share * size - 0.5).astype(np.float32)[None] for share, size in ((x, COLUMNS), (y, ROWS)))
    read = cv2.remap(found, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return read.ravel().astype(np.float64)
