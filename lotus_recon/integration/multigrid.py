"""Multigrid by aggregation: an approximate inverse of a graph's matrix, for conjugate gradients.

Coarse corrections are constant over an aggregate, which makes them cheap and, alone, too weak: on each coarser level
two steps of conjugate gradients find the best combination of them (the K-cycle of Notay and Vassilevski, "Recursive
Krylov-based multigrid cycles", 2008). Numbers are float32: the conjugate gradients around it need no more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lotus_recon.compiled import kernel
from lotus_recon.integration.aggregation import Aggregates, Graph, coarsened
from lotus_recon.integration.blocks import in_blocks

Vector = NDArray[np.float32]

# Nodes that are solved for directly: so many that pieces of surface which hang on next to nothing are solved exactly
# (cycles alone take twice the iterations for them), and so few that it takes little beside the sweeps.
_COARSEST_SHARE, _COARSEST = 1 / 40, (1000, 20_000)
_LEAST_COARSENING = 0.8  # of the nodes: where more are left, nothing else is to be joined
_ENOUGH = 0.25  # residual after the first of the two steps at which the second is left out


@dataclass(frozen=True, eq=False)
class _Level:
    graph: Graph
    aggregates: Aggregates


class Multigrid:
    """The levels of a graph, and the cycle through them."""

    def __init__(self, graph: Graph) -> None:
        self._levels: list[_Level] = []
        coarsest = np.clip(_COARSEST_SHARE * len(graph), *_COARSEST)
        while len(graph) > coarsest:
            coarse, aggregates = coarsened(graph)
            if len(coarse) > _LEAST_COARSENING * len(graph):
                break
            self._levels.append(_Level(graph, aggregates))
            graph = coarse
        self._solve = _factorised(graph).solve

    def cycle(self, right: Vector, depth: int = 0) -> Vector:
        """(N,) about the solution for a right side (N,)."""
        if depth == len(self._levels):
            return np.asarray(self._solve(right.astype(np.float64)), np.float32)
        level = self._levels[depth]
        # 1. One sweep forth, from zero.
        x, y = np.empty((2, len(right)), np.float32)
        in_blocks(sweep_from_zero, len(x), level.graph, right, x)
        # 2. What is left of the right side, on the coarser graph, and its correction.
        rest = np.empty(len(level.aggregates.first) - 1, np.float32)
        in_blocks(restrict, len(rest), level.graph, level.aggregates, right, x, rest)
        coarse = self._krylov(rest, depth + 1)
        # 3. One sweep back: with the first it makes a symmetric operator.
        in_blocks(correct, len(x), level.aggregates, coarse, x, y)
        in_blocks(sweep_back, len(x), level.graph, right, y, x)
        return x

    def _krylov(self, right: Vector, depth: int) -> Vector:
        """Up to two steps of conjugate gradients with the next cycle as the preconditioner."""
        if depth == len(self._levels):
            return self.cycle(right, depth)
        first = self.cycle(right, depth)
        by_first = self._product(first, depth)
        curvature = float(first @ by_first)
        if not curvature > 0:
            return first
        along = float(first @ right) / curvature
        rest = right - np.float32(along) * by_first
        if float(rest @ rest) <= _ENOUGH**2 * float(right @ right):
            return np.float32(along) * first
        second = self.cycle(rest, depth)
        by_second = self._product(second, depth)
        shared = float(second @ by_first)
        left = float(second @ by_second) - shared**2 / curvature
        if not left > 0:
            return np.float32(along) * first
        further = float(second @ rest) / left
        return np.float32(along - shared * further / curvature) * first + np.float32(further) * second

    def _product(self, x: Vector, depth: int) -> Vector:
        graph = self._levels[depth].graph
        out = np.empty_like(x)
        in_blocks(product, len(x), graph, x, out)
        return out


def _factorised(graph: Graph) -> Any:
    """The matrix of a graph, factorised without pivots: it is positive definite."""
    edges = scipy.sparse.csr_array((-graph.weight.astype(np.float64), graph.other, graph.start), (len(graph),) * 2)
    diagonal = graph.own - edges.sum(axis=1)
    matrix = (edges + scipy.sparse.diags_array(diagonal)).tocsc()
    options = {"SymmetricMode": True}
    return scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


@kernel
def product(begin: int, end: int, graph: Any, x: Any, out: Any) -> None:
    """Fill ``out`` from ``begin`` to ``end`` with the product of the matrix and ``x`` (N,)."""
    for i in range(begin, end):
        total = graph.own[i] * x[i]
        for s in range(graph.start[i], graph.start[i + 1]):
            total += graph.weight[s] * (x[i] - x[graph.other[s]])  # of what is constant, exactly zero
        out[i] = total


@kernel
def sweep_from_zero(begin: int, end: int, graph: Any, right: Any, x: Any) -> None:
    """Gauss-Seidel in ascending order, from zero; what lies in other blocks counts as zero."""
    for i in range(begin, end):
        total = right[i]
        for s in range(graph.start[i], graph.start[i + 1]):
            j = graph.other[s]
            if begin <= j < i:
                total += graph.weight[s] * x[j]
        x[i] = total / graph.diagonal[i]


@kernel
def sweep_back(begin: int, end: int, graph: Any, right: Any, before: Any, x: Any) -> None:
    """Gauss-Seidel in descending order, from ``before`` (N,); other blocks count as they were."""
    for i in range(end - 1, begin - 1, -1):
        total = right[i]
        for s in range(graph.start[i], graph.start[i + 1]):
            j = graph.other[s]
            total += graph.weight[s] * (x[j] if i < j < end else before[j])
        x[i] = total / graph.diagonal[i]


@kernel
def restrict(begin: int, end: int, graph: Any, aggregates: Any, right: Any, x: Any, out: Any) -> None:
    """Fill ``out`` (n,) with the sums over aggregates of what ``x`` (N,) leaves of the right side."""
    for c in range(begin, end):
        total = 0.0
        for m in range(aggregates.first[c], aggregates.first[c + 1]):
            i = aggregates.member[m]
            total += right[i] - graph.own[i] * x[i]
            for s in range(graph.start[i], graph.start[i + 1]):
                total -= graph.weight[s] * (x[i] - x[graph.other[s]])
        out[c] = total


@kernel
def correct(begin: int, end: int, aggregates: Any, coarse: Any, x: Any, out: Any) -> None:
    """Fill ``out`` (N,) with ``x`` and the correction (n,) of its aggregates."""
    for i in range(begin, end):
        out[i] = x[i] + coarse[aggregates.of_node[i]]
