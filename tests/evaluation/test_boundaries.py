"""The boundary F-score against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.evaluation.boundaries import boundary_f1

ALL = np.ones((4, 6), bool)


def step(column: int, near: float = 1.0, far: float = 2.0) -> np.ndarray:
    """Near to the left of ``column``."""
    return np.where(np.arange(6) < column, near, np.full((4, 6), far))


def test_the_truth_scores_one_in_any_unit() -> None:
    assert boundary_f1(step(3) * 7, step(3), ALL) == 1


def test_a_boundary_elsewhere_or_the_other_way_round_scores_nothing() -> None:
    assert boundary_f1(step(2), step(3), ALL) == 0
    assert boundary_f1(step(3, 2, 1), step(3), ALL) == 0
    assert boundary_f1(np.ones((4, 6)), step(3), ALL) == 0


def test_half_of_a_boundary_by_hand() -> None:
    half = step(3)
    half[2:] = 1  # steps down from row 1 to 2 at three pixels are false
    # two of four pairs found, three are too many: precision 2 / 5, recall 2 / 4
    assert boundary_f1(half, step(3), ALL) == pytest.approx(2 * 2 / (5 + 4))


def test_a_faint_boundary_counts_for_the_ratios_below_it() -> None:
    ratios = np.linspace(1.05, 1.25, 10)
    expected = ratios[ratios < 1.15].sum() / ratios.sum()
    assert boundary_f1(step(3, 1, 1.15), step(3), ALL) == pytest.approx(expected)


def test_what_is_not_valid_is_left_out() -> None:
    valid = ALL.copy()
    valid[:, 3] = False  # the only boundary
    assert np.isnan(boundary_f1(step(3), step(3), valid))
    holes = step(3)
    holes[:, 5] = 0
    valid = ALL.copy()
    valid[:, 5] = False
    assert boundary_f1(holes, step(3), valid) == 1


def test_bad_input() -> None:
    with pytest.raises(InputError, match="positive"):
        boundary_f1(np.zeros((4, 6)), step(3), ALL)
    with pytest.raises(InputError, match="equal shapes"):
        boundary_f1(step(3)[:2], step(3), ALL)
