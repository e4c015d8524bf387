"""The parts of an integration on graphs so small that the numbers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.integration.checks import checked
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.integration.integrate import _Integration
from lotus_recon.integration.rounds import Solution
from lotus_recon.types import BoolArray, FloatArray
from tests.integration.surfaces import K, opened_door

FLAT = np.broadcast_to([0.0, 0.0, -1.0], (5, 5, 3))


def integration_of(
    normals: FloatArray = FLAT,
    mask: BoolArray | None = None,
    camera: NDArray[np.float64] | None = None,
    prior: FloatArray | None = None,
    config: IntegrationConfig | None = None,
) -> _Integration:
    config = config or IntegrationConfig()
    mask = np.ones(normals.shape[:2], bool) if mask is None else mask
    return _Integration(checked(normals, mask, camera, prior, None, None, None, config), config)


def solution_of(unknown: FloatArray) -> Solution[NDArray[np.float64]]:
    return Solution(np.asarray(unknown, float), np.full((2, 2, len(unknown)), 0.5), (1,), converged=True)


def test_a_bend_of_the_given_angle_halves_a_step_and_twice_the_angle_leaves_a_fifth() -> None:
    turned = np.radians([0.0, 5.0, 15.0])
    normals = np.stack([np.sin(turned), np.zeros(3), -np.cos(turned)], axis=-1)[None]
    weights = integration_of(normals, config=IntegrationConfig(bend_deg=5.0)).step_weight
    np.testing.assert_allclose(weights, [1 / 2, 1 / 5])


def test_residual_is_the_rms_of_the_errors_of_a_pixels_steps() -> None:
    integration = integration_of()
    unknown = np.zeros((5, 5))
    unknown[2, 2] = 0.1
    result = integration.result(solution_of(unknown.ravel()))
    expected = np.zeros((5, 5))
    expected[2, 2] = 0.1
    expected[[1, 3, 2, 2], [2, 2, 1, 3]] = 0.1 / 2
    np.testing.assert_allclose(result.residual, expected, atol=1e-7)
    assert np.nanmin(result.continuity) == 1


def test_a_loose_component_has_the_median_of_the_prior() -> None:
    mask = np.ones((5, 5), bool)
    mask[:, 2] = False
    prior = np.full((5, 5), np.nan)
    prior[:, :2] = 7.0
    prior[0, 0] = 1000.0
    unknown = np.zeros(mask.shape)
    unknown[:, 3:] = 1.0
    unknown[4, 3:] = 300.0
    found = integration_of(mask=mask, prior=prior).result(solution_of(unknown[mask]))
    np.testing.assert_array_equal(found.tied, [True, False])
    np.testing.assert_allclose(found.depth[:4, 3:], 7.0)
    np.testing.assert_allclose(found.depth[4, 3:], 306.0)


def test_a_change_that_moves_components_as_they_are_is_none() -> None:
    mask = np.ones((5, 5), bool)
    mask[:, 2] = False
    integration = integration_of(mask=mask)
    relief = np.random.default_rng(0).normal(size=20)
    shift = np.where(integration.component == 0, 5.0, -3.0)
    assert integration._settled(relief, shift)
    assert not integration._settled(relief, shift + 0.1 * relief)


def test_a_surface_that_is_found_takes_no_more_rounds() -> None:
    """A start brings its weights along: with equal ones the discontinuity would be looked for again."""
    surface = opened_door(K)
    first = integration_of(surface.normals, surface.mask, K)
    found = first.run()
    again = integration_of(surface.normals, surface.mask, K).run(found.unknown)
    assert found.rounds > 3
    assert again.rounds <= 2
    assert sum(found.iterations) > found.rounds


@pytest.mark.parametrize("camera", [np.array([[2.0, 0, 3], [0, 2.5, 2], [0, 0, 1]]), None], ids=["close", "far"])
@pytest.mark.parametrize(("cosine", "is_refused"), [(0.09, False), (0.11, True)])
def test_normals_may_face_away_by_a_little(camera: NDArray[np.float64] | None, cosine: float, is_refused: bool) -> None:
    """Each is turned from the ray of its own pixel, which differs much between neighbours of so short a lens."""
    row, col = np.mgrid[:5, :5] + 0.5
    ray = np.stack([0 * row, 0 * row, 1 + 0 * row], axis=-1)
    if camera is not None:
        ray = np.stack([(col - 3) / 2, (row - 2) / 2.5, np.ones_like(row)], axis=-1)
    ray = normalized(ray)
    across = normalized(np.cross(ray, [0.3, 1.0, 0.2]))
    normals = cosine * ray + np.sqrt(1 - cosine**2) * across
    problem = checked(
        normals, np.ones((5, 5), bool), camera, None, None, None, None, IntegrationConfig(max_bad_share=1.0)
    )
    assert (problem.usable != is_refused).all()


def test_no_bad_normal_at_all_may_be_asked_for() -> None:
    config = IntegrationConfig(max_bad_share=0.0)
    assert len(integration_of(config=config).graph) == 25
