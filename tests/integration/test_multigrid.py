"""The solver against a direct one, its coarser graphs against what they must not join, and threads against none."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from lotus_recon.integration import blocks, laplacian, multigrid
from lotus_recon.integration.aggregation import Graph, coarsened
from lotus_recon.integration.laplacian import minimise
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.threads import set_thread_limit

SIDE = 80


def grid(seed: int = 0) -> tuple[PixelGraph, NDArray[np.float64]]:
    """Pixels of a mask with holes, and weights (E,) that jump by a million along a wall and at random places."""
    rng = np.random.default_rng(seed)
    graph = PixelGraph.of(rng.random((SIDE, SIDE)) < 0.95)
    weights = rng.uniform(0.2, 1, len(graph.first))
    wall = (graph.cols[graph.first] == SIDE // 2) & (graph.cols[graph.second] == SIDE // 2 + 1)
    return graph, np.where(wall | (rng.random(len(weights)) < 0.05), 1e-6 * weights, weights)


def directly(graph: PixelGraph, weights: NDArray[np.float64], data: NDArray[np.float64], right: NDArray) -> NDArray:
    """The solution by a sparse factorisation."""
    size = len(graph)
    edges = scipy.sparse.coo_array((weights, (graph.first, graph.second)), (size, size))
    both = (edges + edges.T).tocsc()
    matrix = scipy.sparse.diags_array(both.sum(axis=1) + data) - both
    return np.asarray(scipy.sparse.linalg.spsolve(matrix.tocsc(), right))


@pytest.mark.parametrize("seed", range(3))
def test_the_solution_is_that_of_a_direct_solver_in_few_iterations(seed: int) -> None:
    graph, weights = grid(seed)
    rng = np.random.default_rng(seed)
    data, right = np.full(len(graph), 1e-4), rng.normal(size=len(graph))
    found = minimise(graph, weights, data, right, 1e-8 * float(np.linalg.norm(right)), 200)
    expected = directly(graph, weights, data, right)
    assert found.converged
    assert np.abs(found.values - expected).max() < 1e-4 * np.abs(expected).max()
    assert found.iterations < 40


def test_without_coarser_graphs_it_takes_many_more_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, weights = grid()
    data, right = np.full(len(graph), 1e-4), np.random.default_rng(0).normal(size=len(graph))
    tolerance = 1e-6 * float(np.linalg.norm(right))
    found = minimise(graph, weights, data, right, tolerance, 1000)
    monkeypatch.setattr(multigrid.Multigrid, "_krylov", lambda self, right, depth: np.zeros_like(right))
    assert minimise(graph, weights, data, right, tolerance, 1000).iterations > 5 * found.iterations


def test_no_aggregate_reaches_over_a_wall() -> None:
    graph, weights = grid()
    lists = graph.edge_lists
    matrix = Graph.of(lists.start, lists.other, weights.astype(np.float32)[lists.edge], np.zeros(len(graph)))
    side = graph.cols > SIDE // 2
    for _ in range(3):
        coarse, aggregates = coarsened(matrix)
        share = np.bincount(aggregates.of_node, side) / np.bincount(aggregates.of_node)
        assert np.isin(share, [0, 1]).mean() > 0.99  # but for pixels that hang on nothing else
        assert len(coarse) < 0.5 * len(matrix)
        np.testing.assert_array_equal(np.sort(aggregates.member), np.arange(len(matrix)))
        matrix, side = coarse, share > 0.5


def test_a_coarse_graph_is_the_product_with_its_aggregates() -> None:
    graph, weights = grid()
    lists = graph.edge_lists
    own = np.random.default_rng(0).random(len(graph))
    matrix = Graph.of(lists.start, lists.other, weights.astype(np.float32)[lists.edge], own)
    coarse, aggregates = coarsened(matrix)
    x = np.random.default_rng(1).normal(size=len(coarse))
    by_fine, by_coarse = np.empty(len(matrix)), np.empty(len(coarse))
    multigrid.product(0, len(matrix), matrix, x[aggregates.of_node], by_fine)
    multigrid.product(0, len(coarse), coarse, x, by_coarse)
    np.testing.assert_allclose(by_coarse, np.bincount(aggregates.of_node, by_fine), rtol=1e-4, atol=1e-5)


def test_the_solution_has_the_same_bytes_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_BLOCK", 500)
    graph, weights = grid()
    data, right = np.full(len(graph), 1e-4), np.random.default_rng(0).normal(size=len(graph))
    found = []
    for threads in (1, 3):
        set_thread_limit(threads)
        found.append(minimise(graph, weights, data, right, 1e-6, 200).values)
    set_thread_limit(None)
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - directly(graph, weights, data, right)).max() < 1e-3 * np.abs(found[0]).max()


def test_the_gradient_is_that_of_the_sum_of_squares() -> None:
    graph, weights = grid()
    rng = np.random.default_rng(0)
    errors, data, data_errors = rng.normal(size=len(weights)), rng.random(len(graph)), rng.normal(size=len(graph))

    def cost(x: NDArray[np.float64]) -> float:
        steps = x[graph.second] - x[graph.first] - errors
        return float((weights * steps**2).sum() + (data * (x - data_errors) ** 2).sum())

    found = laplacian.gradient(graph, weights, errors, data, data_errors)
    for direction in rng.normal(size=(3, len(graph))):
        slope = (cost(1e-4 * direction) - cost(-1e-4 * direction)) / 2e-4
        assert -slope / 2 == pytest.approx(float(found @ direction), rel=1e-5)
