"""Look-up between pixel centres: bilinear on one surface, never across an edge, nothing outside."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.alignment.sampling import sample_without_jumps, value_range

H, W = 5, 7
COLUMN, ROW = np.meshgrid(np.arange(W, dtype=float), np.arange(H, dtype=float))
PLANE = 10 + 2 * COLUMN + 3 * ROW
ALL = np.ones((H, W), bool)


def test_a_plane_is_looked_up_exactly() -> None:
    xy = np.array([[0.5, 0.5], [3.25, 2.75], [6.5, 4.5], [1.9, 3.1]])
    expected = 10 + 2 * (xy[:, 0] - 0.5) + 3 * (xy[:, 1] - 0.5)
    np.testing.assert_allclose(sample_without_jumps(PLANE, ALL, xy, jump=100.0), expected)


@pytest.mark.parametrize("xy", [(-0.1, 2.0), (7.0, 2.0), (3.0, -0.1), (3.0, 5.0), (-50.0, -50.0), (1e6, 1e6)])
def test_nothing_is_outside(xy: tuple[float, float]) -> None:
    assert np.isnan(sample_without_jumps(PLANE, ALL, np.array([xy]), jump=100.0))[0]


@pytest.mark.parametrize("xy", [(0.0, 0.0), (6.99, 0.01), (0.01, 4.99), (6.99, 4.99)])
def test_the_outer_half_of_border_pixels_continues_them(xy: tuple[float, float]) -> None:
    column, row = int(xy[0]), int(xy[1])
    assert sample_without_jumps(PLANE, ALL, np.array([xy]), jump=100.0)[0] == pytest.approx(PLANE[row, column])


def test_two_sides_of_an_edge_do_not_mix() -> None:
    step = np.where(COLUMN < 3, 1.0, 5.0)
    xy = np.array([[2.9, 2.5], [3.1, 2.5]])
    np.testing.assert_allclose(sample_without_jumps(step, ALL, xy, jump=3.9), [1.0, 5.0])
    mixed = sample_without_jumps(step, ALL, xy, jump=4.1)
    np.testing.assert_allclose(mixed, [2.6, 3.4])


def test_invalid_pixels_say_nothing() -> None:
    valid = ALL.copy()
    valid[2, 3] = False
    values = np.where(valid, PLANE, 1e9)
    inside, beside = sample_without_jumps(values, valid, np.array([[3.6, 2.4], [2.9, 2.5]]), jump=100.0)
    assert np.isnan(inside)
    assert beside == pytest.approx(PLANE[2, 2])


def test_the_range_leaves_out_the_extremes() -> None:
    values = np.arange(1000.0).reshape(10, 100)
    values[0, 0], values[-1, -1] = -1e6, 1e6
    valid = np.ones(values.shape, bool)
    assert value_range(values, valid) == pytest.approx(0.96 * 999, rel=0.01)
