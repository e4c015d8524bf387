"""Compiled loops over triangles: the colour that most photos agree on, and message passing for their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.mvs.compiled import kernel

_FLOOR = 12.0  # grey levels by which photos of the same surface differ
_PER_DETAIL = 1.5  # pixels by which they may be displaced: that much more where there is detail
_TIMES_MEDIAN = 3.0  # of the median deviation


@kernel
def robust_colors(
    start: NDArray[np.int64],
    color: NDArray[np.float32],
    weight: NDArray[np.float32],
    detail: NDArray[np.float32],
    alone: NDArray[np.bool_],
    common: NDArray[np.float32],
) -> None:
    """Fill ``common`` (F, 3) with weighted medians, and ``alone`` (E,) with who is far from them (of three or more)."""
    for f in range(len(start) - 1):
        first, count = start[f], start[f + 1] - start[f]
        if count == 0:
            continue
        for k in range(3):
            values = color[first : first + count, k]
            order = np.argsort(values)
            half = weight[first : first + count].sum() / 2
            passed = 0.0
            for i in order:
                passed += weight[first + i]
                if passed >= half:
                    common[f, k] = values[i]
                    break
        if count < 3:
            continue
        off = np.zeros(count, np.float32)
        slope = np.float32(0)
        for i in range(count):
            for k in range(3):
                off[i] = max(off[i], abs(color[first + i, k] - common[f, k]))
            slope += detail[first + i] / count
        limit = max(_FLOOR + _PER_DETAIL * slope, _TIMES_MEDIAN * np.median(off))
        for i in range(count):
            alone[first + i] = off[i] > limit


@kernel
def label_faces(  # noqa: C901  one compiled loop: calls that return arrays would cost more than its work
    labels: NDArray[np.int32],
    costs: NDArray[np.float32],
    neighbors: NDArray[np.int32],
    smoothness: float,
    sweeps: int,
) -> NDArray[np.int64]:
    """(F,) candidate of each triangle, -1 without any: least costs (F, K) plus ``smoothness`` per unequal neighbours.

    ``labels`` (F, K), -1 where there are fewer candidates; ``neighbors`` (F, 3). Tree-reweighted message passing
    (Kolmogorov, PAMI 2006), by sweeps forth and back over the triangles; then each takes the best label given those of
    its neighbours, until none changes.
    """
    F, K = labels.shape
    inbox = np.zeros((F, 3, K), np.float32)
    held = np.empty(K, np.float32)
    for sweep in range(sweeps):
        forth = sweep % 2 == 0
        for step in range(F):
            f = step if forth else F - 1 - step
            before = after = 0
            for edge in range(3):
                before += 0 <= neighbors[f, edge] < f
                after += neighbors[f, edge] > f
            share = np.float32(1 / max(before, after, 1))
            for edge in range(3):
                g = neighbors[f, edge]
                if g < 0 or (g > f) != forth:
                    continue
                back = 0  # the edge of g that leads here
                for other in range(3):
                    if neighbors[g, other] == f:
                        back = other
                lowest = np.float32(np.inf)
                for i in range(K):
                    if labels[f, i] < 0:
                        break
                    total = costs[f, i] + inbox[f, 0, i] + inbox[f, 1, i] + inbox[f, 2, i]
                    held[i] = share * total - inbox[f, edge, i]
                    lowest = min(lowest, held[i])
                if lowest == np.inf:
                    continue
                for j in range(K):
                    if labels[g, j] < 0:
                        break
                    message = np.float32(smoothness)
                    for i in range(K):
                        if labels[f, i] == labels[g, j]:
                            message = min(message, held[i] - lowest)
                            break
                    inbox[g, back, j] = message
    chosen = np.full(F, -1, np.int64)
    for f in range(F):
        lowest = np.float32(np.inf)
        for i in range(K):
            if labels[f, i] < 0:
                break
            total = costs[f, i] + inbox[f, 0, i] + inbox[f, 1, i] + inbox[f, 2, i]
            if total < lowest:
                lowest = total
                chosen[f] = i
    for _ in range(20):
        changed = 0
        for f in range(F):
            lowest, best = np.float32(np.inf), -1
            for i in range(K):
                if labels[f, i] < 0:
                    break
                total = costs[f, i]
                for edge in range(3):
                    g = neighbors[f, edge]
                    if g >= 0 and chosen[g] >= 0 and labels[g, chosen[g]] != labels[f, i]:
                        total += smoothness
                if total < lowest:
                    lowest, best = total, i
            if best != chosen[f]:
                chosen[f] = best
                changed += 1
        if changed == 0:
            break
    return chosen
