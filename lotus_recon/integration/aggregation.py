"""Coarser graphs for multigrid: nodes joined in twos along their strongest edges, and the pairs once more.

An aggregate never grows across an edge that is much weaker than its other edges, so the coarse graph has the depth
discontinuities of the fine one. (Pairwise aggregation: Notay, "An aggregation-based algebraic multigrid method", 2010.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import kernel

_STRONG = 0.25  # of the strongest edge of a node: a weaker one joins nothing


class Graph(NamedTuple):
    """A symmetric matrix: of N nodes, the weights of the edges to others with the sign turned, and the diagonal.

    The edges of node i are those from ``start[i]`` to ``start[i + 1]``.
    """

    start: NDArray[np.int32]  # (N + 1,)
    other: NDArray[np.int32]  # (S,) node at the other end
    weight: NDArray[np.float32]  # (S,)
    own: NDArray[np.float64]  # (N,) what the diagonal has beside the weights of the edges
    diagonal: NDArray[np.float32]  # (N,)

    @classmethod
    def of(cls, start: Any, other: Any, weight: Any, own: NDArray[np.float64]) -> Graph:
        """The graph of arrays (N + 1,), (S,), (S,) and (N,), with its diagonal."""
        diagonal = np.empty(len(own), np.float32)
        _diagonals(start, weight, own, diagonal)
        return cls(start, other, weight, own, diagonal)

    def __len__(self) -> int:
        return len(self.diagonal)


class Aggregates(NamedTuple):
    """Which of N nodes are one of n nodes of a coarser graph: those of c are from ``first[c]`` to ``first[c + 1]``."""

    of_node: NDArray[np.int32]  # (N,)
    member: NDArray[np.int32]  # (N,)
    first: NDArray[np.int32]  # (n + 1,)

    @classmethod
    def of(cls, of_node: NDArray[np.int32], count: int) -> Aggregates:
        """``count`` aggregates, given for each node (N,), listed by their members."""
        first, member = np.zeros(count + 1, np.int32), np.empty(len(of_node), np.int32)
        _list_members(of_node, first, member)
        return cls(of_node, member, first)


def coarsened(graph: Graph) -> tuple[Graph, Aggregates]:
    """The graph of aggregates of up to four nodes, and which these are."""
    pairs = _pairs(graph)
    fours = _pairs(halved := _joined(graph, pairs))
    together = Aggregates.of(fours.of_node[pairs.of_node], len(fours.first) - 1)
    return _joined(halved, fours), together


def _pairs(graph: Graph) -> Aggregates:
    of_node = np.full(len(graph), -1, np.int32)
    return Aggregates.of(of_node, _pair(graph, _STRONG, of_node))


def _joined(graph: Graph, aggregates: Aggregates) -> Graph:
    """The graph whose nodes are the aggregates: edges between two of them add up."""
    count = len(aggregates.first) - 1
    start, own = np.zeros(count + 1, np.int32), np.empty(count)
    other, weight = np.empty(len(graph.other), np.int32), np.empty(len(graph.other), np.float32)
    size = _join(graph, aggregates, start, other, weight, own)
    return Graph.of(start, other[:size].copy(), weight[:size].copy(), own)


@kernel
def _diagonals(start: Any, weight: Any, own: Any, diagonal: Any) -> None:
    for i in range(len(own)):
        total = own[i]
        for s in range(start[i], start[i + 1]):
            total += weight[s]
        diagonal[i] = total


@kernel
def _pair(graph: Any, strong: float, of_node: Any) -> int:
    """Join each node to that neighbour, of those without a partner, to which its edge is strongest; how many pairs."""
    count = 0
    for i in range(len(of_node)):
        if of_node[i] >= 0:
            continue
        strongest, best, partner = np.float32(0), np.float32(0), -1
        for s in range(graph.start[i], graph.start[i + 1]):
            weight, j = graph.weight[s], graph.other[s]
            strongest = max(strongest, weight)
            if of_node[j] < 0 and weight > best:
                best, partner = weight, j
        of_node[i] = count
        if partner >= 0 and best >= strong * strongest:
            of_node[partner] = count
        count += 1
    return count


@kernel
def _list_members(of_node: Any, first: Any, member: Any) -> None:
    for i in range(len(of_node)):
        first[of_node[i] + 1] += 1
    for c in range(len(first) - 1):
        first[c + 1] += first[c]
    for i in range(len(of_node) - 1, -1, -1):  # from behind: ``first`` ends where it began
        c = of_node[i] + 1
        first[c] -= 1
        member[first[c]] = i
    for c in range(len(first) - 1):
        first[c] = first[c + 1]
    first[len(first) - 1] = len(of_node)


@kernel
def _join(graph: Any, aggregates: Any, start: Any, other: Any, weight: Any, own: Any) -> int:
    """Fill the arrays of the coarser graph; how many edges it has."""
    size = 0
    place = np.full(len(own), -1, np.int32)  # where the edge to a node stands, if the current node has one already
    for c in range(len(own)):
        begin, total = size, 0.0
        for m in range(aggregates.first[c], aggregates.first[c + 1]):
            i = aggregates.member[m]
            total += graph.own[i]
            for s in range(graph.start[i], graph.start[i + 1]):
                d = aggregates.of_node[graph.other[s]]
                if d == c:
                    continue
                if place[d] < begin:
                    place[d], other[size], weight[size] = size, d, np.float32(0)
                    size += 1
                weight[place[d]] += graph.weight[s]
        own[c], start[c + 1] = total, size
    return size
