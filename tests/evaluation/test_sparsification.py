"""Error bars whose worth is known: those of the true order, of a random one, of normal errors."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.evaluation.sparsification import coverage, sparsification

ERRORS = np.random.default_rng(0).exponential(1.0, 50_000)


@pytest.mark.parametrize("squared", [False, True])
def test_the_true_order_is_perfect_and_a_random_one_worthless(squared: bool) -> None:
    perfect = sparsification(ERRORS, ERRORS, squared)
    assert perfect.ause == pytest.approx(0, abs=1e-12)
    assert perfect.aurg == pytest.approx(perfect.ause_random)
    random = sparsification(ERRORS, np.random.default_rng(1).random(50_000), squared)
    assert random.aurg == pytest.approx(0, abs=0.01)
    assert random.ause == pytest.approx(random.ause_random, abs=0.01)
    assert sparsification(ERRORS, -ERRORS, squared).aurg < -0.3, "the wrong way round is worse than that"


def test_the_area_is_that_of_the_exponential_distribution() -> None:
    """Errors below the quantile at q have the mean 1 + (1 - q) ln(1 - q) / q; its area over q is pi^2 / 6 - 1."""
    assert 1 - sparsification(ERRORS, ERRORS).ause_random == pytest.approx(2 - np.pi**2 / 6, abs=0.02)


def test_normal_errors_are_covered_as_they_should() -> None:
    sigma = np.random.default_rng(2).uniform(0.01, 0.1, 100_000)
    errors = np.random.default_rng(3).normal(0, sigma)
    held = coverage(errors, sigma, 0.6745)
    assert held.half == pytest.approx(0.5, abs=0.01)
    assert held.nine_tenths == pytest.approx(0.9, abs=0.01)
    assert held.mean_width == pytest.approx(2 * 1.645 * 0.055, rel=0.01)
    assert coverage(errors, sigma / 2, 0.6745).nine_tenths < 0.6


def test_no_error_at_all() -> None:
    found = sparsification(np.zeros(10), np.ones(10))
    assert (found.ause, found.ause_random) == (0, 0)
