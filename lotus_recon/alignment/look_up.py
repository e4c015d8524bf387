"""Compiled look-ups of alignment: the points nearest to a position that no depth discontinuity parts from it.

Points lie in a grid of square cells. A query visits its own and the eight around it, then ring by ring, until no
unvisited cell can hold a nearer point. Nothing is allocated for a query; threads may share a field.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import inner, kernel
from lotus_recon.geometry.camera import pixel_index

_POINTS_PER_CELL = 2.0  # on average: most queries end within the rings of 9 and 25 cells
_SLACK_PX = 1e-6  # for rounding


class Points(NamedTuple):
    """N points of a view in the order of their cells, and the depth discontinuities of the view."""

    x: NDArray[np.float64]  # (N,) pixels
    y: NDArray[np.float64]
    row: NDArray[np.int64]  # (N,) the pixel that holds the point
    col: NDArray[np.int64]
    log_ratio: NDArray[np.float64]  # (N,)
    weight: NDArray[np.float64]  # (N,)
    number: NDArray[np.int64]  # (N,) of the point, in the order in which it was given
    first: NDArray[np.int64]  # (cells + 1,) first point of each cell, row by row
    shape: tuple[int, int]  # rows and columns of cells
    size: float  # side of a cell, in pixels
    across: Any  # (H, W) as in DepthDiscontinuities
    down: Any

    @classmethod
    def of(cls, xy: NDArray[np.float64], log_ratio: Any, weight: Any, across: Any, down: Any) -> Points:
        """Points at ``xy`` (N, 2); those outside the image count to the cells at its border."""
        H, W = across.shape
        size = max(1.0, float(np.sqrt(_POINTS_PER_CELL * H * W / max(len(xy), 1))))
        rows, columns = int(np.ceil(H / size)), int(np.ceil(W / size))
        row, col = pixel_index(xy, H, W)
        x, y = xy[:, 0], xy[:, 1]
        cell_row = np.clip(np.floor(y / size), 0, rows - 1).astype(np.int64)
        cell = cell_row * columns + np.clip(np.floor(x / size), 0, columns - 1).astype(np.int64)
        order = np.argsort(cell, kind="stable")
        first = np.searchsorted(cell[order], np.arange(rows * columns + 1))
        parts = (x[order], y[order], row[order], col[order], log_ratio[order], weight[order])
        return cls(*parts, order, first, (rows, columns), size, across, down)


class Kernel(NamedTuple):
    """How the weight of a point falls with its distance, and what comes of the sum."""

    per_squared_px: float  # squared distance of a pixel
    near: float  # squared; points closer than this weigh alike
    rest: float  # weight of no correction
    strength: float


@inner
def _visit(first: int, end: int, x: float, y: float, points: Points, skip: int, near: Any, found: int) -> int:
    """Put points from ``first`` to ``end`` among the nearest found so far, in order; how many there are now.

    Of points at one distance (SIFT finds several at one place) those given first are nearer.
    """
    squared, index = near
    for i in range(first, end):
        distance = (points.x[i] - x) ** 2 + (points.y[i] - y) ** 2
        number = points.number[i]
        if number == skip:
            continue
        if found < len(squared):
            found += 1
        elif distance > squared[found - 1] or (
            distance == squared[found - 1] and number > points.number[index[found - 1]]
        ):
            continue
        k = found - 1
        while k > 0 and (
            squared[k - 1] > distance or (squared[k - 1] == distance and points.number[index[k - 1]] > number)
        ):
            squared[k], index[k] = squared[k - 1], index[k - 1]
            k -= 1
        squared[k], index[k] = distance, i
    return found


@inner
def _gap(x: float, y: float, top: int, left: int, ring: int, points: Points) -> float:
    """Distance from a position to the nearest cell that the rings so far have not reached; infinite where none is."""
    gap = np.inf
    if left > 0:
        gap = x - left * points.size
    if top > 0:
        gap = min(gap, y - top * points.size)
    if left + 2 * ring + 1 < points.shape[1]:
        gap = min(gap, (left + 2 * ring + 1) * points.size - x)
    if top + 2 * ring + 1 < points.shape[0]:
        gap = min(gap, (top + 2 * ring + 1) * points.size - y)
    return gap


@inner
def _cell(position: float, points: Points, count: int) -> int:
    """Row or column of the cells that a position lies in, of ``count``."""
    return int(min(max(np.floor(position / points.size), 0.0), count - 1.0))


@inner
def _nearest(x: float, y: float, points: Points, skip: int, near: Any) -> int:
    """Fill the squared distances (K,), in pixels, and places (K,) of the nearest points but ``skip``; how many."""
    squared, (rows, columns) = near[0], points.shape
    row, col = _cell(y, points, rows), _cell(x, points, columns)
    found = 0
    for ring in range(1, max(rows, columns) + 1):
        top, left = row - ring, col - ring
        right = left + 2 * ring
        for r in range(max(top, 0), min(top + 2 * ring, rows - 1) + 1):
            start = r * columns  # the cells of a row follow each other in memory
            if ring == 1 or r in (top, top + 2 * ring):
                first, end = points.first[start + max(left, 0)], points.first[start + min(right, columns - 1) + 1]
                found = _visit(first, end, x, y, points, skip, near, found)
                continue
            if left >= 0:
                first, end = points.first[start + left], points.first[start + left + 1]
                found = _visit(first, end, x, y, points, skip, near, found)
            if right < columns:
                first, end = points.first[start + right], points.first[start + right + 1]
                found = _visit(first, end, x, y, points, skip, near, found)
        gap = _gap(x, y, top, left, ring, points)
        if gap == np.inf or (found == len(squared) and squared[found - 1] < gap * gap):
            break
    return found


@inner
def _nearest_within(x: float, y: float, points: Points, radius: float, count: int, near: Any) -> int:
    """The ``count`` nearest points, in any order, where all are known to lie within ``radius``; -1 for too many there.

    Nearly all of those within are the nearest, so dropping the others is quicker than keeping an order.
    """
    squared, index = near
    rows, columns = points.shape
    left, right = _cell(x - radius, points, columns), _cell(x + radius, points, columns)
    found = 0
    for r in range(_cell(y - radius, points, rows), _cell(y + radius, points, rows) + 1):
        for i in range(points.first[r * columns + left], points.first[r * columns + right + 1]):
            distance = (points.x[i] - x) ** 2 + (points.y[i] - y) ** 2
            if distance <= radius * radius:
                if found == len(squared):
                    return -1
                squared[found], index[found] = distance, i
                found += 1
    for last in range(found - 1, count - 1, -1):
        worst = _farthest(points, near, last + 1)
        squared[worst], index[worst] = squared[last], index[last]
    return count


@inner
def _farthest(points: Points, near: Any, found: int) -> int:
    """Which of the points found is the farthest; at one distance, the one given last."""
    squared, index = near
    worst = 0
    for k in range(1, found):
        if squared[k] > squared[worst] or (
            squared[k] == squared[worst] and points.number[index[k]] > points.number[index[worst]]
        ):
            worst = k
    return worst


@inner
def _largest(values: Any, count: int) -> float:
    """The largest of the first ``count``."""
    largest = values[0]
    for k in range(1, count):
        largest = max(largest, values[k])
    return largest


@inner
def _is_parted(points: Points, row: int, col: int, i: int) -> bool:
    """Whether both rectangular ways from a pixel to that of a point cross a discontinuity."""
    across, down, other_row, other_col = points.across, points.down, points.row[i], points.col[i]
    rows_first = down[row, col] != down[other_row, col] or across[other_row, col] != across[other_row, other_col]
    if not rows_first:
        return False
    return across[row, col] != across[row, other_col] or down[row, other_col] != down[other_row, other_col]


@inner
def _weighted(row: int, col: int, points: Points, kernel_: Kernel, near: Any, found: int) -> float:
    """The correction of log depth at a position in a pixel, by the points found near it."""
    squared, index = near
    total, mass = 0.0, kernel_.rest
    for k in range(found):
        i = index[k]
        if not _is_parted(points, row, col, i):
            weight = points.weight[i] / (squared[k] * kernel_.per_squared_px + kernel_.near)
            total += weight * points.log_ratio[i]
            mass += weight
    return kernel_.strength * total / mass


@kernel
def corrections(xy: Any, points: Points, kernel_: Kernel, count: int, out: Any) -> None:
    """Fill ``out`` (Q,): corrections at positions (Q, 2) by ``count`` points each."""
    H, W = points.across.shape
    near = np.empty(count), np.empty(count, np.int64)
    for q in range(len(xy)):
        x, y = xy[q, 0], xy[q, 1]
        row, col = int(min(max(np.floor(y), 0.0), H - 1.0)), int(min(max(np.floor(x), 0.0), W - 1.0))
        out[q] = _weighted(row, col, points, kernel_, near, _nearest(x, y, points, -1, near))


@kernel
def map_corrections(valid: Any, points: Points, kernel_: Kernel, count: int, out: Any) -> None:
    """Fill ``out`` (H, W) with the corrections at the centres of all ``valid`` pixels (H, W)."""
    squared, index = np.empty(4 * count), np.empty(4 * count, np.int64)
    ordered = squared[:count], index[:count]
    for row in range(valid.shape[0]):
        before = -1  # column of the valid pixel before
        for col in range(valid.shape[1]):
            if not valid[row, col]:
                continue
            x, y, found = col + 0.5, row + 0.5, -1
            if before >= 0 and count > 0:
                # What was nearest to that pixel is no farther from this one than there plus the way between them.
                radius = np.sqrt(_largest(squared, count)) + (col - before) + _SLACK_PX
                found = _nearest_within(x, y, points, radius, count, (squared, index))
            if found < 0:
                found = _nearest(x, y, points, -1, ordered)
            out[row, col] = _weighted(row, col, points, kernel_, (squared, index), found)
            before = col


@kernel
def nearest_others(points: Points, squared: Any, log_ratio: Any, weight: Any) -> None:
    """Fill (N, K) squared distance in pixels, log ratio and weight of the points nearest to each point.

    The weight is 0 across a discontinuity.
    """
    index = np.empty(squared.shape[1], np.int64)
    for j in range(len(points.x)):
        n = points.number[j]
        for k in range(_nearest(points.x[j], points.y[j], points, n, (squared[n], index))):
            i = index[k]
            log_ratio[n, k] = points.log_ratio[i]
            weight[n, k] = 0.0 if _is_parted(points, points.row[j], points.col[j], i) else points.weight[i]


@kernel
def weighted_means(squared: Any, log_ratio: Any, weight: Any, kernel_: Kernel, out: Any) -> None:
    """Fill ``out`` (N,) with the corrections by points (N, K), whose squared distances are in pixels."""
    for n in range(len(out)):
        total, mass = 0.0, kernel_.rest
        for k in range(squared.shape[1]):
            share = weight[n, k] / (squared[n, k] * kernel_.per_squared_px + kernel_.near)
            total += share * log_ratio[n, k]
            mass += share
        out[n] = kernel_.strength * total / mass


@kernel
def count_jumps(depth: Any, valid: Any, limit_x: float, limit_y: float, across: Any, down: Any) -> None:
    """Fill (H, W) how many jumps of log depth by more than the limits lie before a pixel, in its row and its column."""
    H, W = depth.shape
    above, here = np.zeros(W), np.zeros(W)  # log depth of a row
    for row in range(H):
        for col in range(W):
            here[col] = np.log(depth[row, col]) if valid[row, col] else 0.0
            across[row, col], down[row, col] = 0, 0
            if col > 0:
                jumps = valid[row, col] and valid[row, col - 1] and abs(here[col] - here[col - 1]) > limit_x
                across[row, col] = across[row, col - 1] + int(jumps)
            if row > 0:
                jumps = valid[row, col] and valid[row - 1, col] and abs(here[col] - above[col]) > limit_y
                down[row, col] = down[row - 1, col] + int(jumps)
        above, here = here, above


@kernel
def sample(values: Any, valid: Any, xy: Any, jump: float, out: Any) -> None:
    """Fill ``out`` (N,) as ``sampling.sample_without_jumps`` says."""
    H, W = values.shape
    for n in range(len(xy)):
        x, y = xy[n, 0], xy[n, 1]
        out[n] = np.nan
        if not (0 <= x < W and 0 <= y < H) or not valid[int(y), int(x)]:
            continue
        center = float(values[int(y), int(x)])
        left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
        total = mass = 0.0
        for i in (top, top + 1):
            for j in (left, left + 1):
                row, col = min(max(i, 0), H - 1), min(max(j, 0), W - 1)
                value = float(values[row, col])
                weight = (1 - abs(y - 0.5 - i)) * (1 - abs(x - 0.5 - j))
                if weight > 0 and valid[row, col] and abs(value - center) <= jump:
                    total += weight * value
                    mass += weight
        out[n] = total / max(mass, 1e-12)


class Lens(NamedTuple):
    """A pinhole camera, in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


@kernel
def reproject(xy: Any, log_depth: Any, source: Lens, pose: Any, target: Lens, out_xy: Any, out_log_depth: Any) -> None:
    """Fill pixels (N, 2) and log depth (N,) in a target of what pixels of a source (N, 2) show.

    ``pose`` (4, 4) is target_from_source. What is not in front of the target has pixel (-1, -1) and depth NaN.
    """
    for n in range(len(xy)):
        z = np.exp(log_depth[n])
        x, y = (xy[n, 0] - source.cx) / source.fx * z, (xy[n, 1] - source.cy) / source.fy * z
        in_z = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
        if in_z > 0 and np.isfinite(in_z):
            in_x = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]
            in_y = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]
            out_xy[n, 0], out_xy[n, 1] = target.fx * in_x / in_z + target.cx, target.fy * in_y / in_z + target.cy
            out_log_depth[n] = np.log(in_z)
        else:
            out_xy[n, 0], out_xy[n, 1], out_log_depth[n] = -1.0, -1.0, np.nan
