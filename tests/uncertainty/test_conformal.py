"""Error bars of errors whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.uncertainty.conformal import HELD_OUT, calibrated


def draw(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors with heavy tails (Student's t, 2 degrees of freedom) of scales over two decades."""
    random = np.random.default_rng(seed)
    scale = 10 ** random.uniform(-3, -1, count)
    return 3 * scale * random.standard_t(2, count), scale


def test_of_new_errors_of_the_same_kind_nine_in_ten_are_within_the_bars() -> None:
    found = calibrated(*draw(2000, seed=0), HELD_OUT)
    errors, scale = draw(100_000, seed=1)
    sigma = found.factor * scale
    assert (np.abs(errors) <= P90_SIGMAS * sigma).mean() == pytest.approx(0.9, abs=0.02)
    assert (np.abs(errors) <= found.half_sigmas * sigma).mean() == pytest.approx(0.5, abs=0.03)


def test_few_errors_are_covered_in_the_mean_over_scenes() -> None:
    """The guarantee of split conformal prediction: at least 90 % over the draw of the calibration, too."""
    errors, scale = draw(20_000, seed=1)
    shares = []
    for seed in range(300):
        sigma = calibrated(*draw(20, seed=100 + seed), HELD_OUT).factor * scale
        shares.append((np.abs(errors) <= P90_SIGMAS * sigma).mean())
    assert 0.895 <= np.mean(shares) <= 0.93


def test_the_rank_is_that_of_the_paper() -> None:
    """Of 19 errors the 18th smallest: ceil(20 * 0.9)."""
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))
    found = calibrated(errors, np.ones(19), HELD_OUT)
    assert found.factor * P90_SIGMAS == pytest.approx(18)
    assert found.half_sigmas * found.factor == pytest.approx(10)
    assert found.errors == 19


def test_normal_errors_have_their_own_standard_deviation() -> None:
    errors = np.random.default_rng(3).normal(0, 0.02, 100_000)
    found = calibrated(errors, np.full(100_000, 0.01), HELD_OUT)
    assert found.factor == pytest.approx(2.0, rel=0.02)
    assert found.half_sigmas == pytest.approx(0.674, rel=0.02)
