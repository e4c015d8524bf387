"""Integration against surfaces whose depth is known in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.normals import angle_deg, normalized, normals_from_depth
from lotus_recon.integration import IntegrationConfig, IntegrationResult, integrate, integrate_normals, rounds
from lotus_recon.types import Camera
from tests.integration.surfaces import CAMERAS, FOCAL_PX, SIZE, SMOOTH, K, Surface, noisy, opened_door, plane, sphere

Matrix = NDArray[np.float64] | None


def errors(found: IntegrationResult, surface: Surface, camera: Matrix) -> NDArray[np.float64]:
    """Errors in pixels of depth, after the one scale or offset that normals leave open."""
    depth, truth = found.depth[surface.mask].astype(float), surface.depth[surface.mask]
    if camera is None:
        return depth - truth - np.median(depth - truth)
    return (depth * np.median(truth / depth) / truth - 1) * FOCAL_PX


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("shape", SMOOTH)
def test_smooth_surfaces_come_back(shape: str, camera: Matrix) -> None:
    surface = SMOOTH[shape](camera)
    found = integrate_normals(surface.normals, surface.mask, camera, config=IntegrationConfig(solver_tolerance=1e-7))
    assert np.abs(errors(found, surface, camera)).max() < 0.1
    assert found.converged
    assert found.depth.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(found.depth), surface.mask)
    assert np.nanmax(found.residual) < 0.02


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_planes_are_exact(camera: Matrix) -> None:
    surface = plane(camera, (0.9, -0.7))
    config = IntegrationConfig(solver_tolerance=1e-10)
    found = integrate_normals(surface.normals, surface.mask, camera, config=config)
    assert np.abs(errors(found, surface, camera)).max() < 2e-4  # float32 of depth in a hundred pixels


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_step_is_found_and_torn(camera: Matrix) -> None:
    surface = opened_door(camera)
    found = integrate_normals(surface.normals, surface.mask, camera)
    assert np.abs(errors(found, surface, camera)).mean() < 0.5  # the step grows by half a pixel with every row
    border = SIZE // 2 - 1
    far_from_meeting = np.abs(np.arange(SIZE) + 0.5 - (SIZE / 2 if camera is None else K[1, 2])) > 20
    assert (found.continuity[far_from_meeting, border, 0] < 0.2).all()
    assert (found.discontinuity[far_from_meeting][:, [border, border + 1]] > 0.8).all()
    whole = found.continuity[:, np.arange(SIZE) != border]
    assert np.nanmin(whole[5:-5, 5:-5]) > 0.3


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("shape", SMOOTH)
def test_noise_of_5_degrees_averages_out(shape: str, camera: Matrix) -> None:
    surface = SMOOTH[shape](camera)
    found = integrate_normals(noisy(surface.normals, 5.0), surface.mask, camera)
    assert np.abs(errors(found, surface, camera)).mean() < 1.0  # of 96 pixels


def turned(normals: NDArray[np.float64], deg: float) -> NDArray[np.float64]:
    """All normals turned about the vertical axis."""
    a = np.radians(deg)
    return normals @ np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]).T


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_prior_corrects_normals_that_are_all_turned(camera: Matrix) -> None:
    surface = plane(camera, (0.3, 0.1))
    normals = turned(surface.normals, 2.0)
    bent = integrate_normals(normals, surface.mask, camera)
    rng = np.random.default_rng(1)
    prior = surface.depth * (1 + 0.01 * rng.standard_normal(surface.depth.shape))
    straight = integrate_normals(normals, surface.mask, camera, prior)
    assert np.abs(errors(straight, surface, camera)).mean() < 0.2 * np.abs(errors(bent, surface, camera)).mean()
    np.testing.assert_allclose(straight.depth, surface.depth, atol=0.5 if camera is None else 0.04)


def test_high_frequencies_come_from_the_normals_and_low_ones_from_the_prior() -> None:
    """A ball with a prior that has short waves, of which its normals know nothing."""
    surface = sphere(K)
    col = np.arange(SIZE) / SIZE
    camera = Camera.from_K(K, SIZE, SIZE)
    ripple = 1 + 0.01 * np.sin(2 * np.pi * col * 16)
    found = integrate_normals(surface.normals, surface.mask, K, surface.depth * ripple)
    left = np.abs(found.depth / surface.depth - 1)[surface.mask].mean()
    assert left < 0.1 * np.abs(ripple - 1).mean()
    normals, known = normals_from_depth(found.depth, surface.mask, camera)
    assert np.median(angle_deg(normals, surface.normals)[known]) < 1.0


def test_each_component_has_a_scale_of_its_own_unless_the_prior_ties_it() -> None:
    surface = plane(K, (0.2, 0.1))
    mask = surface.mask.copy()
    mask[:, 40:44] = False
    mask[60:63, 44:] = False
    loose = integrate_normals(surface.normals, mask, K)
    assert not loose.tied.any()
    assert len(loose.tied) == 3
    for part in range(3):
        inside = loose.component == part
        ratio = loose.depth[inside] / surface.depth[inside]
        assert np.ptp(ratio) < 1e-3 * ratio.mean()
        assert np.median(loose.depth[inside]) == pytest.approx(1, rel=1e-3)
    prior = np.where(loose.component < 2, surface.depth, np.nan)
    tied = integrate_normals(surface.normals, mask, K, prior)
    np.testing.assert_array_equal(tied.tied, [True, True, False])
    held = (tied.component >= 0) & (tied.component < 2)
    np.testing.assert_allclose(tied.depth[held], surface.depth[held], rtol=1e-3)


def test_anchors_alone_fix_the_scale() -> None:
    surface = sphere(K)
    rng = np.random.default_rng(0)
    anchors = np.where(rng.random(surface.mask.shape) < 0.02, surface.depth, np.nan)
    found = integrate_normals(surface.normals, surface.mask, K, anchors=anchors)
    np.testing.assert_allclose(found.depth[surface.mask], surface.depth[surface.mask], rtol=1e-3)


def test_single_wrong_pixels_of_the_prior_do_not_dent_the_surface() -> None:
    surface = plane(K, (0.2, 0.1))
    wrong = np.random.default_rng(0).random(surface.mask.shape) < 0.1
    prior = np.where(wrong, 1.3 * surface.depth, surface.depth)
    found = integrate_normals(surface.normals, surface.mask, K, prior)
    inner = slice(1, -1), slice(1, -1)
    np.testing.assert_allclose(found.depth[inner], surface.depth[inner], rtol=0.02)


def test_a_torn_piece_is_where_the_prior_has_it() -> None:
    """A strip of wrong normals, torn on both sides: the little weight that is left does not drag it along."""
    surface = plane(K, (0.2, 0.1))
    normals, strip = surface.normals.copy(), slice(40, 43)
    normals[:, strip] = normalized(np.array([2.0, 0.1, -1.0]))
    prior = surface.depth * (1 + 0.005 * np.sin(np.arange(SIZE) / SIZE * 2 * np.pi))
    found = integrate_normals(normals, surface.mask, K, prior)
    assert np.abs(found.depth / surface.depth - 1)[:, strip].mean() < 0.004


def test_the_prior_calls_back_what_runs_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normals turn away smoothly near one side: what lies behind does not follow them as far as a weak prior lets."""
    surface = plane(K, (0.2, 0.1))
    bump = 0.5 * np.exp(-(((np.arange(SIZE) - 84) / 8) ** 2))
    normals = normalized(surface.normals + np.stack([bump, 0 * bump, 0 * bump], axis=-1))
    prior = surface.depth * (1 + 0.005 * np.sin(np.arange(SIZE) / SIZE * 2 * np.pi))
    prior[:3, :3] = np.nan  # and does not reach everywhere
    config = IntegrationConfig(prior_length=1.0)
    called = integrate_normals(normals, surface.mask, K, prior, config=config)
    monkeypatch.setattr(integrate, "RUNAWAY", np.inf)
    loose = integrate_normals(normals, surface.mask, K, prior, config=config)
    behind = [np.abs(found.depth / surface.depth - 1)[:, 89:].mean() for found in (called, loose)]
    assert behind[0] < 0.2 * behind[1]


def test_a_jump_of_the_prior_is_a_tear_where_the_normals_cannot_tell() -> None:
    """A box before a wall: the same normals, two depths, and waves in the prior that are neither's."""
    wall = plane(K, (0.2, 0.1))
    truth = wall.depth.copy()
    truth[30:60, 30:60] *= 0.7
    prior = truth * (1 + 0.01 * np.sin(2 * np.pi * np.arange(SIZE) / 12))
    found = integrate_normals(wall.normals, wall.mask, K, prior)
    assert np.abs(found.depth / truth - 1).mean() < 0.002
    assert (found.continuity[32:58, 29, 0] < 0.2).all()


def test_normals_without_confidence_are_bridged() -> None:
    surface = plane(K, (0.2, 0.1))
    normals, confidence = surface.normals.copy(), np.ones(surface.mask.shape)
    normals[40:50, 20:70] = normalized(np.array([0.6, 0.0, -1.0]))
    confidence[40:50, 20:70] = 0
    found = integrate_normals(normals, surface.mask, K, confidence=confidence)
    assert np.abs(errors(found, surface, K))[confidence[surface.mask] > 0].max() < 0.1


def test_grazing_normals_neither_explode_nor_freeze() -> None:
    surface = sphere(K)
    ray = np.stack([*np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5), np.ones((SIZE, SIZE))], -1)
    ray = normalized(ray @ np.linalg.inv(K).T)
    normals = surface.normals.copy()
    across = normalized(np.cross(ray, [0.0, 1.0, 0.0]))
    normals[:, SIZE // 2] = across[:, SIZE // 2]  # n . ray = 0 in a whole column
    found = integrate_normals(normals, surface.mask, K)
    assert np.isfinite(found.depth[surface.mask]).all()
    assert found.converged
    for half in (slice(0, SIZE // 2 - 1), slice(SIZE // 2 + 2, None)):  # such a column may hide any step
        ratio = (found.depth / surface.depth)[:, half][surface.mask[:, half]]
        assert np.abs(ratio / np.median(ratio) - 1).mean() < 0.01


def test_the_order_of_the_axes_does_not_matter() -> None:
    surface = sphere(K)
    flipped = integrate_normals((surface.normals * [-1, 1, 1])[:, ::-1], surface.mask[:, ::-1], K_mirrored())
    straight = integrate_normals(surface.normals, surface.mask, K)
    np.testing.assert_allclose(flipped.depth[:, ::-1], straight.depth, rtol=2e-4)


def K_mirrored() -> NDArray[np.float64]:
    mirrored = K.copy()
    mirrored[0, 2] = SIZE - K[0, 2]
    return mirrored


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_large_maps_start_from_half_the_size_and_end_the_same(camera: Matrix) -> None:
    surface = opened_door(camera)
    prior = surface.depth * 1.0
    config = IntegrationConfig(direct_pixels=500)
    for given in (None, prior):
        direct = integrate_normals(surface.normals, surface.mask, camera, given)
        halved = integrate_normals(surface.normals, surface.mask, camera, given, config=config)
        difference = errors(halved, surface, camera) - errors(direct, surface, camera)
        assert np.abs(difference).mean() < 0.3
    assert halved.rounds <= direct.rounds


def test_it_says_when_it_did_not_converge(caplog: pytest.LogCaptureFixture) -> None:
    surface = opened_door(K)
    found = integrate_normals(surface.normals, surface.mask, K, config=IntegrationConfig(max_rounds=1))
    assert not found.converged
    assert "did not converge" in caplog.text
    starved = dataclasses.replace(IntegrationConfig(), max_solver_iterations=1, solver_tolerance=1e-12)
    assert not integrate_normals(surface.normals, surface.mask, K, config=starved).converged


def test_same_input_same_bytes() -> None:
    surface = sphere(K)
    normals = noisy(surface.normals, 3.0)
    first, second = (integrate_normals(normals, surface.mask, K) for _ in range(2))
    np.testing.assert_array_equal(first.depth, second.depth)


def bubbles(noise: float) -> NDArray[np.float64]:
    """(H, W, 3) noisy normals of spheres in front of each other, whose depth no step between them tells."""
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:SIZE, :SIZE] + 0.5
    depth = np.zeros((SIZE, SIZE))
    for _ in range(14):
        x, y, radius = *rng.uniform(0, SIZE, 2), rng.uniform(0.1, 0.3) * SIZE
        height = radius**2 - (col - x) ** 2 - (row - y) ** 2
        depth = np.where(height > 0, rng.uniform(-20, 20) - np.sqrt(np.maximum(height, 0)), depth)
    by_row, by_col = np.gradient(depth)
    normals = normalized(np.stack([by_col, by_row, -np.ones_like(depth)], axis=-1))
    normals += noise * rng.normal(size=normals.shape)
    normals[..., 2] = np.minimum(normals[..., 2], -0.05)
    return normalized(normals)


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3, 0.4])
def test_pieces_that_hang_on_next_to_nothing_come_to_rest(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same share of new weights in every round they shift for ever: the oracle of the test."""
    normals, mask = bubbles(noise), np.ones((SIZE, SIZE), bool)
    assert integrate_normals(normals, mask).converged
    monkeypatch.setattr(rounds, "_FREE_ROUNDS", 10**9)
    assert not integrate_normals(normals, mask).converged
