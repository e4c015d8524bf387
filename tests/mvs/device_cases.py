"""The Triton search against the compiled one. Not collected: ``test_device`` runs it in a process of its own, where
Triton interprets kernels on the CPU (TRITON_INTERPRET=1 must be set before Triton is imported)."""

# Triton refuses types in the signatures of kernels.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from lotus_recon.mvs import device_search, matching
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.device_cost import each_cost, pixels_at, read_window
from lotus_recon.mvs.device_hypotheses import random_at, salt_of
from lotus_recon.mvs.device_search import DeviceSearch
from lotus_recon.mvs.device_sweep import load_plane
from lotus_recon.mvs.hypotheses import random_at as compiled_random_at
from lotus_recon.mvs.planes import depth_of, planes_of
from lotus_recon.mvs.search import CompiledSearch, Estimate, matching_of, search
from lotus_recon.mvs.sources import Floats, pixels_per_inverse_depth, sources_of
from lotus_recon.mvs.sweep import Turn
from tests.alignment.analytic import CAMERA, views_on_arc
from tests.mvs.scenes import DEPTH_RANGE, Shot, shot

CPU = torch.device("cpu")
CONFIG = SearchConfig(scales=2, rounds=(3, 1, 1), later_rounds=(0, 1, 1), best_sources=2)
NEAR, FAR = 1 / DEPTH_RANGE[0], 1 / DEPTH_RANGE[1]


@pytest.fixture(autouse=True)
def _whole_view_in_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes as long for one pixel as for many. The last block is not full."""
    assert os.environ.get("TRITON_INTERPRET") == "1"
    monkeypatch.setattr(device_search, "BLOCK", 1024)


def shots() -> tuple[Shot, ...]:
    """A view and three sources, 41x30: rows of one colour are longer than those of the other."""
    view, *others = (shot(replace(v, camera=CAMERA.resized(41, 30))) for v in views_on_arc(4, 0.5))
    return view, *others


def level(geometric: bool) -> tuple[Any, Any, float]:
    """The view as its rounds read it, what they aim at, and the pixels per unit of inverse depth."""
    view, *others = shots()
    surfaces = [other.surface for other in others] if geometric else None
    sources = sources_of(view.photo, [other.photo for other in others], surfaces)
    return *matching_of(view.photo, sources, CONFIG, geometric), pixels_per_inverse_depth(view.photo, sources, NEAR)


def planes_around(depth: np.ndarray, spread: float) -> Floats:
    """(H, W, 3) true planes of the view, moved and turned at random."""
    view, rng = shots()[0], np.random.default_rng(5)
    planes = planes_of(depth, view.view.camera, view.normals)
    planes[..., 0] *= np.exp(rng.normal(0, spread, depth.shape))
    planes[..., 1:] += rng.normal(0, 0.01 * spread, (*depth.shape, 2))
    return planes


@triton.jit
def costs_kernel(view, goal, planes, out, J: tl.constexpr, S: tl.constexpr, P: tl.constexpr):
    """(P, N) cost of planes (P, 3) in every source."""
    number = tl.arange(0, P)
    real = number < view.height * view.width
    number = tl.where(real, number, 0)
    at = pixels_at(number // view.width, number % view.width, view)
    costs = each_cost(view, goal, read_window(view, goal, at, S), at, load_plane(planes, at, real), J)
    j = tl.arange(0, J)[None, :]
    tl.store(out + number[:, None] * view.sources + j, costs, real[:, None] & (j < view.sources))


@pytest.mark.parametrize("geometric", [False, True])
@pytest.mark.parametrize("spread", [0.02, 0.5])
def test_costs_are_those_of_the_compiled_search(geometric: bool, spread: float) -> None:
    view, goal, _ = level(geometric)
    planes = planes_around(shots()[0].depth, spread)
    expected = compiled_costs(view, goal, planes)
    on_device, found = DeviceSearch(view, goal, CPU), torch.zeros(expected.shape)
    costs_kernel[(1,)](on_device._view, on_device._goal, torch.from_numpy(planes), found, J=4, S=32, P=2048)
    assert np.abs(found.numpy() - expected).max() < 1e-4
    worst = 1 + goal.geometric
    seen = expected < 0.99 * worst
    assert 0.1 < seen.mean() < 0.99  # some are compared, and some leave the sources


def compiled_costs(view: Any, goal: Any, planes: Floats) -> Floats:
    """(H, W, N) see ``matching.each_cost``."""
    H, W = view.gray.shape
    costs, samples = np.zeros((H, W, len(view.sources.place)), np.float32), view.window.copy()
    for row in range(H):
        for col in range(W):
            deviation = matching.read_window(view.gray, row, col, view.window, np.float32(goal.contrast), samples)
            x, y = np.float32(col + 0.5), np.float32(row + 0.5)
            w, wx, wy = planes[row, col]
            matching.each_cost(view.sources, x, y, w, wx, wy, samples, deviation, goal, costs[row, col])
    return costs


@triton.jit
def random_kernel(out, draw, salt, P: tl.constexpr):
    """(P,) random numbers of the first P pixels."""
    pixel = tl.arange(0, P)
    tl.store(out + pixel, random_at(pixel, draw, salt))


@pytest.mark.parametrize(("seed", "number", "draw"), [(0, 0, 0), (7, 3, 18), (2**31 - 1, 12, 14), (2**40 + 5, 1, 2)])
def test_random_numbers_are_the_same(seed: int, number: int, draw: int) -> None:
    out = torch.zeros(64)
    random_kernel[(1,)](out, draw, salt_of(seed, number), P=64)
    assert out.tolist() == [float(compiled_random_at(pixel, draw, number, seed)) for pixel in range(64)]


@pytest.mark.parametrize("geometric", [False, True])
def test_every_step_is_that_of_the_compiled_search(geometric: bool) -> None:
    """Planes, costs and support after the starts, and after each half of a round.

    Few pixels differ by more than rounding: those where two planes cost the same, where the lowest point of a parabola
    is ill-conditioned, or where a plane meets a source between two pixels of its map.
    """
    view, goal, pixels = level(geometric)
    compiled, on_device = CompiledSearch(view, goal), DeviceSearch(view, goal, CPU)
    turn = Turn(0, 3, NEAR, FAR, pixels, 0, 1, True)
    starts = np.stack([planes_around(shots()[0].depth, 0.1), np.zeros_like(compiled.state.planes)])
    for engine in (compiled, on_device):
        engine.score_starts(turn, starts)
    assert_same(compiled, on_device, pixels, 1)
    turn = turn._replace(number=1, reach_px=2, tilt=0.3)
    for colour in (0, 1):
        for engine in (compiled, on_device):
            engine.sweep(turn, colour)
        assert_same(compiled, on_device, pixels, 0.995)


def assert_same(compiled: CompiledSearch, on_device: DeviceSearch, pixels: float, share: float) -> None:
    """Equal to rounding at that share of the pixels."""
    planes, cost, support = (each.numpy() for each in on_device._state)
    same = np.abs(cost - compiled.state.cost) < 1e-3
    same &= np.abs(support - compiled.state.support).max(-1) < 1e-2
    same &= np.abs(planes - compiled.state.planes).max(-1) * pixels < 0.01
    assert same.mean() >= share


@pytest.mark.parametrize("geometric", [False, True])
def test_the_search_finds_the_same_depth(geometric: bool) -> None:
    """Within 0.05 pixels of parallax at 99 % of the pixels, at the same mean cost to 0.001, and near the truth."""
    view, *others = shots()
    starts = planes_around(view.depth, 0.05)[None] if geometric else np.zeros((0, *view.depth.shape, 3), np.float32)
    surfaces = [other.surface for other in others] if geometric else None

    def found(device: torch.device | None) -> Estimate:
        photos = [other.photo for other in others]
        return search(view.photo, photos, starts, DEPTH_RANGE, CONFIG, surfaces, 3, device)

    compiled, on_device = found(None), found(CPU)
    _, _, pixels = level(geometric)
    parallax = np.abs(on_device.planes[..., 0] - compiled.planes[..., 0]) * pixels
    assert (parallax < 0.05).mean() >= 0.99
    assert on_device.cost.mean() == pytest.approx(float(compiled.cost.mean()), abs=1e-3)
    errors = [np.abs(depth_of(each.planes) / view.depth - 1) for each in (compiled, on_device)]
    assert np.median(errors[1]) < 0.03
    assert np.median(errors[1]) == pytest.approx(float(np.median(errors[0])), abs=1e-3)


def test_a_kernel_runs_where_triton_works() -> None:
    device_search.check_device(CPU)
