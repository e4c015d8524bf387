"""Depth consensus of maps with errors of their own: the truth is the depth of an analytic scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible, disagreement
from lotus_recon.normal_integration.consensus import moved_to_consensus
from lotus_recon.types import View
from tests.alignment.analytic import true_depth, views_on_arc

CPU = torch.device("cpu")
VIEWS = views_on_arc(6)


def tensors(view: View, error: NDArray[np.float64] | float = 1.0) -> DepthTensors:
    depth = true_depth(view) * error
    return DepthTensors.of(view, depth, np.ones(depth.shape, bool), CPU)


def smooth_error(seed: int, rms: float = 0.02) -> NDArray[np.float64]:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((72, 96)), 12)
    return np.asarray(np.exp(rms * noise / noise.std()))


def median_error(one: DepthTensors) -> float:
    return float(np.median(np.abs(np.log(one.known_depth / true_depth(one.view)))))


def overlapping(maps: list[DepthTensors]) -> list[NDArray[np.int64]]:
    samples = [coarse_samples(one.depth.numpy(), one.valid.numpy()) for one in maps]
    return covisible([one.view for one in maps], samples, 8)


def consensus(maps: list[DepthTensors], iterations: int, fixed: tuple[int, ...] = ()) -> list[DepthTensors]:
    """All maps after some iterations, each of which starts from the maps of the one before."""
    neighbours = overlapping(maps)
    for _ in range(iterations):
        maps = [
            one if i in fixed else moved_to_consensus(one, [maps[j] for j in neighbours[i]])
            for i, one in enumerate(maps)
        ]
    return maps


def apart(maps: list[DepthTensors], neighbours: list[NDArray[np.int64]]) -> float:
    found = disagreement(((one, maps[j]) for one, others in zip(maps, neighbours, strict=True) for j in others), 10_000)
    assert found is not None
    return found


def test_errors_that_differ_from_view_to_view_average_out() -> None:
    maps = [tensors(view, smooth_error(seed)) for seed, view in enumerate(VIEWS)]
    neighbours = overlapping(maps)
    together = consensus(maps, iterations=1)
    before, after = (np.mean([median_error(one) for one in group]) for group in (maps, together))
    assert after < 0.65 * before  # six independent errors leave 0.41 of one
    assert apart(together, neighbours) < 0.35 * apart(maps, neighbours)


def test_true_maps_stay_true() -> None:
    maps = [tensors(view) for view in VIEWS]
    for one in consensus(maps, iterations=3):
        assert median_error(one) < 2e-4


def test_a_map_moves_to_one_that_stays() -> None:
    maps = [tensors(VIEWS[2]), tensors(VIEWS[3], 1.03)]
    _, moved = consensus(maps, iterations=6, fixed=(0,))
    assert median_error(moved) < 0.005


def test_maps_alone_stay_as_they_are() -> None:
    one = tensors(VIEWS[0])
    assert consensus([one], iterations=2)[0] is one
    assert disagreement([], 100) is None


def test_disagreement_is_the_relative_difference() -> None:
    near, far = tensors(VIEWS[2]), tensors(VIEWS[3], 1.02)
    assert disagreement([(near, far)], 10_000) == pytest.approx(np.log(1.02), rel=0.1)


def test_large_maps_are_compared_on_a_grid() -> None:
    """Three times as many pixels, of which every other is compared, give the same to a tenth."""
    factor = 4
    maps = []
    for seed, view in enumerate(VIEWS):
        large = replace(view, camera=view.camera.resized(factor * 96, factor * 72))
        error = np.kron(smooth_error(seed), np.ones((factor, factor)))
        maps.append(DepthTensors.of(large, true_depth(large) * error, np.ones(error.shape, bool), CPU))
    before, after = (np.mean([median_error(one) for one in group]) for group in (maps, consensus(maps, iterations=1)))
    small = [tensors(view, smooth_error(seed)) for seed, view in enumerate(VIEWS)]
    expected = np.mean([median_error(one) for one in consensus(small, iterations=1)])
    assert after < 0.65 * before
    assert after == pytest.approx(expected, rel=0.1)
