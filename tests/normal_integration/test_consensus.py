"""Maps with errors of their own, drawn together: the truth is the depth of an analytic scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.geometry.consistency import DepthTensors, covisible, disagreement
from lotus_recon.normal_integration.consensus import drawn_together
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


def apart(maps: list[DepthTensors], neighbours: list[NDArray[np.int64]]) -> float:
    found = disagreement(((one, maps[j]) for one, others in zip(maps, neighbours, strict=True) for j in others), 10_000)
    assert found is not None
    return found


def test_errors_that_differ_from_view_to_view_average_out() -> None:
    maps = [tensors(view, smooth_error(seed)) for seed, view in enumerate(VIEWS)]
    neighbours = covisible(maps, 8)
    together = drawn_together(maps, neighbours, [False] * len(maps), rounds=1)
    before, after = (np.mean([median_error(one) for one in group]) for group in (maps, together))
    assert after < 0.65 * before  # six independent errors leave 0.41 of one
    assert apart(together, neighbours) < 0.35 * apart(maps, neighbours)


def test_true_maps_stay_true() -> None:
    maps = [tensors(view) for view in VIEWS]
    for one in drawn_together(maps, covisible(maps, 8), [False] * len(maps), rounds=3):
        assert median_error(one) < 2e-4


def test_fixed_maps_pull_and_stay() -> None:
    maps = [tensors(VIEWS[2]), tensors(VIEWS[3], 1.03)]
    neighbours = covisible(maps, 8)
    fixed, moved = drawn_together(maps, neighbours, [True, False], rounds=6)
    assert fixed is maps[0]
    assert median_error(moved) < 0.005


def test_maps_alone_stay_as_they_are() -> None:
    one = tensors(VIEWS[0])
    assert drawn_together([one], covisible([one], 8), [False], rounds=2)[0] is one
    assert disagreement([], 100) is None


def test_disagreement_is_the_relative_difference() -> None:
    near, far = tensors(VIEWS[2]), tensors(VIEWS[3], 1.02)
    assert disagreement([(near, far)], 10_000) == pytest.approx(np.log(1.02), rel=0.1)
