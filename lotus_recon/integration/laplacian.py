"""Weighted least squares on the graph of the pixels: conjugate gradients, preconditioned by algebraic multigrid.

The normal equations are the Laplacian of the graph plus a diagonal, the matrix that Ruge and Stueben's coarsening was
made for: it does not join pixels across small edge weights, so depth discontinuities cost few iterations. (Smoothed
aggregation took up to 1.8 times as long.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyamg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lotus_recon.integration.pixels import PixelGraph

_REGULARISATION = 1e-9  # of the mean diagonal: holds what nothing else does where it is
_COARSEST = 300


@dataclass(frozen=True, eq=False)
class Update:
    """The correction of the unknown, and how the solver fared."""

    values: NDArray[np.float64]  # (P,)
    iterations: int
    converged: bool


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
    flux, size = weights * errors, len(graph)
    return np.bincount(graph.second, flux, size) - np.bincount(graph.first, flux, size) + data_weights * data_errors


def minimise(
    graph: PixelGraph,
    weights: NDArray[np.float64],
    data_weights: NDArray[np.float64],
    right: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> Update:
    """The x (N,) at which that sum is least, to a residual of at most ``tolerance``; ``right`` is its ``gradient``.

    Where nothing holds x, it stays near zero.
    """
    size = len(graph)
    first, second = graph.first, graph.second
    if np.linalg.norm(right) <= tolerance:
        return Update(np.zeros(size), 0, True)
    diagonal = np.bincount(first, weights, size) + np.bincount(second, weights, size) + data_weights
    diagonal += _REGULARISATION * max(diagonal.mean(), np.finfo(float).tiny)
    pixels = np.arange(size)
    matrix = scipy.sparse.coo_array(
        (np.concatenate([diagonal, -weights, -weights]), _indices(pixels, first, second)), shape=(size, size)
    ).tocsr()
    multigrid = pyamg.ruge_stuben_solver(
        scipy.sparse.csr_matrix(matrix),
        interpolation="direct",
        max_coarse=_COARSEST,
        coarse_solver="splu",
        # One sweep forth before and one back after: symmetric as the conjugate gradients need it, at half the cost.
        presmoother=("gauss_seidel", {"sweep": "forward"}),
        postsmoother=("gauss_seidel", {"sweep": "backward"}),
    )
    count = 0

    def counted(_: NDArray[np.float64]) -> None:
        nonlocal count
        count += 1

    values, failed = scipy.sparse.linalg.cg(
        matrix,
        right,
        rtol=0.0,
        atol=tolerance,
        maxiter=max_iterations,
        M=multigrid.aspreconditioner(),
        callback=counted,
    )
    return Update(values, count, failed == 0)


def _indices(
    pixels: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.concatenate([pixels, first, second]), np.concatenate([pixels, second, first])
