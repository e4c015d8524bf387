"""Weighted least squares on the graph of the pixels: conjugate gradients, preconditioned by multigrid.

The normal equations are the Laplacian of the graph plus a diagonal. The coarser graphs follow the edge weights, so
depth discontinuities cost few iterations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import kernel
from lotus_recon.integration.aggregation import Graph
from lotus_recon.integration.blocks import in_blocks
from lotus_recon.integration.multigrid import Multigrid, product
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.integration.rounds import Update

REGULARISATION = 1e-9  # of the mean diagonal: holds what nothing else does where it is


def gradient(
    graph: PixelGraph,
    weights: NDArray[np.float64],
    errors: NDArray[np.float64],
    data_weights: NDArray[np.float64],
    data_errors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(P,) minus half the gradient, at x = 0, of the sum of squares

    sum_e weights (x_second - x_first - errors)^2 + sum_p data_weights (x - data_errors)^2

    with ``weights`` and ``errors`` (E,), ``data_weights`` and ``data_errors`` (P,).
    """
    out = np.empty(len(graph))
    in_blocks(_add_fluxes, len(graph), graph.edge_lists, weights, errors, data_weights, data_errors, out)
    return out


@kernel
def _add_fluxes(
    begin: int, end: int, lists: Any, weights: Any, errors: Any, data_weights: Any, data_errors: Any, out: Any
) -> None:
    for p in range(begin, end):
        total = data_weights[p] * data_errors[p]
        for s in range(lists.start[p], lists.start[p + 1]):
            flux = weights[lists.edge[s]] * errors[lists.edge[s]]
            total += flux if lists.other[s] < p else -flux  # edges go from the lower number to the higher
        out[p] = total


def minimise(
    graph: PixelGraph,
    weights: NDArray[np.float64],
    data_weights: NDArray[np.float64],
    right: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> Update[NDArray[np.float64]]:
    """The x (N,) at which that sum is least, to a residual of at most ``tolerance``; ``right`` is its ``gradient``.

    Where nothing holds x, it stays near zero.
    """
    if np.linalg.norm(right) <= tolerance:
        return Update(np.zeros(len(graph)), 0, True)
    mean_diagonal = (2 * weights.sum() + data_weights.sum()) / len(graph)
    own = data_weights + REGULARISATION * max(float(mean_diagonal), np.finfo(float).tiny)
    lists = graph.edge_lists
    matrix = Graph.of(lists.start, lists.other, weights.astype(np.float32)[lists.edge], own)
    return _conjugate_gradients(matrix, right, tolerance, max_iterations)


def _conjugate_gradients(
    matrix: Graph, right: NDArray[np.float64], tolerance: float, max_iterations: int
) -> Update[NDArray[np.float64]]:
    """Flexible ones (Notay, 2000): the preconditioner is not the same operator at every call."""
    multigrid, size = Multigrid(matrix), len(right)
    x, rest, direction, by_matrix = np.zeros_like(right), right.copy(), np.zeros_like(right), np.zeros_like(right)
    scaled, curvature = np.empty(size, np.float32), 1.0
    norm = float(np.linalg.norm(rest))
    for iteration in range(max_iterations):
        if norm <= tolerance:
            return Update(x, iteration, True)
        in_blocks(_scale, size, rest, 1 / norm, scaled)
        corrected = multigrid.cycle(scaled)
        shared = sum(in_blocks(_dot, size, corrected, by_matrix))
        in_blocks(_turn, size, corrected, shared / curvature, direction)
        sums = in_blocks(_apply, size, matrix, direction, rest, by_matrix)
        curvature = sum(partial for partial, _ in sums)
        if not curvature > 0:
            break
        step = sum(partial for _, partial in sums) / curvature
        norm = float(np.sqrt(sum(in_blocks(_go, size, step, direction, by_matrix, x, rest))))
    return Update(x, max_iterations, norm <= tolerance)


@kernel
def _scale(begin: int, end: int, values: Any, factor: float, out: Any) -> None:
    for i in range(begin, end):
        out[i] = values[i] * factor


@kernel
def _dot(begin: int, end: int, a: Any, b: Any) -> float:
    total = 0.0
    for i in range(begin, end):
        total += a[i] * b[i]
    return total


@kernel
def _turn(begin: int, end: int, corrected: Any, share: float, direction: Any) -> None:
    """The next direction: conjugate to the one before."""
    for i in range(begin, end):
        direction[i] = corrected[i] - share * direction[i]


@kernel
def _apply(begin: int, end: int, matrix: Any, direction: Any, rest: Any, out: Any) -> tuple[float, float]:
    """Fill ``out`` (N,) with the product of matrix and direction; the direction's product with it and with the rest."""
    product(begin, end, matrix, direction, out)
    curvature, along = 0.0, 0.0
    for i in range(begin, end):
        curvature += direction[i] * out[i]
        along += direction[i] * rest[i]
    return curvature, along


@kernel
def _go(begin: int, end: int, step: float, direction: Any, by_matrix: Any, x: Any, rest: Any) -> float:
    """Take a step; the squared norm of what is left then."""
    total = 0.0
    for i in range(begin, end):
        x[i] += step * direction[i]
        rest[i] -= step * by_matrix[i]
        total += rest[i] * rest[i]
    return total
