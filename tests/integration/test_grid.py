"""The torch solver on the grid, on CPU tensors, against the numba solver on the graph; its parts against others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lotus_recon.geometry.normals import normalized
from lotus_recon.integration import IntegrationConfig, IntegrationResult, grid_multigrid, integrate, integrate_normals
from lotus_recon.integration.checks import Problem
from lotus_recon.integration.grid_integration import surface_on_grid
from lotus_recon.integration.grid_multigrid import GridMultigrid, stencil_of
from lotus_recon.integration.grid_prior import smooth_prior
from lotus_recon.integration.grid_solver import minimise
from tests.integration.surfaces import CAMERAS, SIZE, SMOOTH, K, noisy, opened_door, plane, sphere
from tests.integration.test_integrate import bubbles, errors
from tests.integration.test_multigrid import directly, grid

Matrix = NDArray[np.float64] | None
EXACT = IntegrationConfig(solver_tolerance=1e-9)


class _DeviceIsNamed(TorchFunctionMode):
    """Refuses tensors that would be made where torch makes them by default, which is not on a card."""

    makers = (torch.arange, torch.zeros, torch.ones, torch.full, torch.empty, torch.tensor, torch.eye, torch.linspace)

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        assert function not in self.makers or options.get("device") is not None
        return function(*arguments, **options)


@pytest.fixture
def on_grid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., IntegrationResult]:
    """``integrate_normals`` by the torch solver."""

    def integrated(*arguments: Any, **options: Any) -> IntegrationResult:
        def surface(problem: Problem, config: IntegrationConfig, _: torch.device | None) -> IntegrationResult:
            with _DeviceIsNamed():
                return surface_on_grid(problem, config, torch.device("cpu"))

        with monkeypatch.context() as patch:
            patch.setattr(integrate, "_surface", surface)
            return integrate_normals(*arguments, **options)

    return integrated


def problems() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments of ``integrate_normals``: surfaces with steps, holes, priors with gaps and anchors."""
    wave = 1 + 0.01 * np.sin(np.arange(SIZE) / 8)
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    for camera, matrix in CAMERAS.items():
        for name, make in {**SMOOTH, "door": opened_door}.items():
            one = make(matrix)
            given[f"{camera} {name}"] = (one.normals, one.mask, matrix), {}
            given[f"{camera} {name} prior"] = (one.normals, one.mask, matrix, one.depth * wave), {}
        halved = IntegrationConfig(solver_tolerance=1e-9, direct_pixels=500)
        given[f"{camera} door halved"] = (one.normals, one.mask, matrix, one.depth * wave), {"config": halved}
    one, rng = sphere(K), np.random.default_rng(0)
    mask = one.mask & (rng.random(one.mask.shape) < 0.8)
    mask[:, 40:42] = False
    prior = np.where(rng.random(mask.shape) < 0.7, one.depth * wave, np.nan)
    prior[:, 70:] = np.nan
    anchors = np.where(rng.random(mask.shape) < 0.02, one.depth, np.nan)
    data = {"anchors": anchors, "confidence": rng.random(mask.shape)}
    given["holes"] = (noisy(one.normals, 3.0), mask, K, prior), data
    given["parts"] = (noisy(one.normals, 3.0), mask, K), {}
    wall = plane(K, (0.2, 0.1))
    box = wall.depth.copy()
    box[30:60, 30:60] *= 0.7
    given["box"] = (wall.normals, wall.mask, K, box * wave), {}
    strip = wall.normals.copy()
    strip[:, 40:43] = normalized(np.array([2.0, 0.1, -1.0]))
    given["strip"] = (strip, wall.mask, K, wall.depth * wave), {}
    return given


@pytest.mark.parametrize("name", problems())
def test_the_surface_is_that_of_the_graph(name: str, on_grid: Callable[..., IntegrationResult]) -> None:
    arguments, options = problems()[name]
    options = {"config": EXACT, **options}
    expected, found = integrate_normals(*arguments, **options), on_grid(*arguments, **options)
    scale = np.nanmedian(np.abs(expected.depth)) if arguments[2] is not None else SIZE
    np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-5, atol=1e-5 * float(scale))
    np.testing.assert_allclose(found.continuity, expected.continuity, atol=1e-3)
    np.testing.assert_allclose(found.residual, expected.residual, atol=1e-4)
    np.testing.assert_array_equal(found.component, expected.component)
    np.testing.assert_array_equal(found.tied, expected.tied)
    assert (found.rounds, found.converged) == (expected.rounds, expected.converged)
    for one, other in ((found.depth, expected.depth), (found.continuity, expected.continuity)):
        assert one.dtype == other.dtype == np.float32


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_the_error_to_the_truth_is_the_same_as_it_comes(
    camera: Matrix, on_grid: Callable[..., IntegrationResult]
) -> None:
    for surface in (opened_door(camera), sphere(camera)):
        for normals in (surface.normals, noisy(surface.normals, 5.0)):
            off = [np.abs(errors(by(normals, surface.mask, camera), surface, camera)).mean() for by in _both(on_grid)]
            assert off[1] == pytest.approx(off[0], rel=0.02, abs=1e-3)


def _both(on_grid: Callable[..., IntegrationResult]) -> tuple[Callable[..., IntegrationResult], ...]:
    return integrate_normals, on_grid


@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_pieces_that_hang_on_next_to_nothing_come_to_rest(
    noise: float, on_grid: Callable[..., IntegrationResult]
) -> None:
    found = on_grid(bubbles(noise), np.ones((SIZE, SIZE), bool))
    assert found.converged
    assert max(found.solver_iterations) <= 60


def test_it_says_when_it_did_not_converge(on_grid: Callable[..., IntegrationResult]) -> None:
    surface = opened_door(K)
    starved = IntegrationConfig(max_solver_iterations=1, solver_tolerance=1e-12)
    found = on_grid(surface.normals, surface.mask, K, config=starved)
    assert not found.converged
    assert set(found.solver_iterations) == {1}


def as_images(seed: int) -> tuple[Any, ...]:
    """A problem of ``minimise``: mask, weights, data weights and right side, and its solution by a factorisation."""
    graph, weights = grid(seed)
    data, right = np.full(len(graph), 1e-4), np.random.default_rng(seed).normal(size=len(graph))
    images = (graph.image(values, 0.0) for values in (data, right, directly(graph, weights, data, right)))
    edges = torch.from_numpy(graph.edge_image(weights, 0.0)).permute(2, 0, 1).contiguous()
    return torch.from_numpy(graph.mask), edges, *map(torch.from_numpy, images)


@pytest.mark.parametrize("seed", range(3))
def test_the_solution_is_that_of_a_direct_solver_in_few_iterations(seed: int) -> None:
    mask, weights, data, right, expected = as_images(seed)
    found = minimise(mask, weights, data, right, 1e-8 * right.norm(), 200)
    assert found.converged
    assert (found.values - expected).abs().max() < 1e-4 * expected.abs().max()
    assert found.iterations <= 40
    assert not found.values[~mask].any()


def test_without_coarser_grids_it_takes_many_more_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, weights, data, right, _ = as_images(0)
    found = minimise(mask, weights, data, right, 1e-6 * right.norm(), 1000)
    monkeypatch.setattr(grid_multigrid, "_interpolated", lambda level, coarse: torch.zeros_like(level.inverse))
    assert minimise(mask, weights, data, right, 1e-6 * right.norm(), 1000).iterations > 5 * found.iterations


def test_the_preconditioner_is_symmetric() -> None:
    mask, weights, data, *_ = as_images(0)
    multigrid = GridMultigrid(stencil_of(weights, data + 1e-3 * mask))
    a, b = torch.randn(2, *mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    assert float((a * multigrid.cycle(b)).sum()) == pytest.approx(float((b * multigrid.cycle(a)).sum()), rel=1e-3)
    assert float((a * multigrid.cycle(a)).sum()) > 0


class _Reads(TorchDispatchMode):
    """Counts what the host reads of tensors: on a card it waits for each."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(options or {}))


def test_the_host_reads_once_every_few_iterations() -> None:
    mask, weights, data, right, _ = as_images(0)
    with _Reads() as reads:
        found = minimise(mask, weights, data, right, 1e-8 * right.norm(), 200)
    assert found.iterations >= 12
    assert reads.count <= 1 + found.iterations / 4


def test_the_smooth_prior_is_that_of_scipy_around_what_is_known() -> None:
    rng = np.random.default_rng(0)
    prior = np.where(rng.random((90, 70)) < 0.5, rng.random((90, 70)), np.nan)
    prior[20:60, 30:60] = np.nan
    nearest = scipy.ndimage.distance_transform_edt(np.isnan(prior), return_distances=False, return_indices=True)
    expected = scipy.ndimage.median_filter(prior[tuple(nearest)], size=5)
    near = scipy.ndimage.binary_dilation(np.isfinite(prior), np.ones((3, 3), bool), iterations=2)
    np.testing.assert_array_equal(smooth_prior(torch.from_numpy(prior)).numpy()[near], expected[near])


def test_a_cuda_device_chooses_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []

    def surface(problem: Problem, config: IntegrationConfig, device: torch.device) -> IntegrationResult:
        chosen.append(device.type)
        return surface_on_grid(problem, config, torch.device("cpu"))

    monkeypatch.setattr("lotus_recon.integration.grid_integration.surface_on_grid", surface)
    one = plane(K, (0.2, 0.1))
    for name in ("cpu", "mps", "cuda"):
        integrate_normals(one.normals, one.mask, K, device=torch.device(name))
    assert chosen == ["cuda"]
