"""Scales and shifts that were planted are found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.video.temporal import REACH, aligned, compared, scenes_of

POINTS = 560


def pair(
    first: tuple[float, float], second: tuple[float, float], seed: int = 0, noise: float = 0.01, outliers: float = 0.3
) -> NDArray[np.float32]:
    """Samples (S, 5) of points whose disparity D grows by a factor, seen as v with D = scale v + shift."""
    random = np.random.default_rng(seed)
    true, change = random.uniform(0.2, 1.2, POINTS), random.uniform(0.97, 1.05, POINTS)
    here, there = ((d - shift) / scale for d, (scale, shift) in ((true, first), (true * change, second)))
    here = here + noise / first[0] * random.standard_normal(POINTS)
    there = there + noise / second[0] * random.standard_normal(POINTS)
    wrong = random.random(POINTS) < outliers
    there[wrong] += random.uniform(-1, 1, wrong.sum())
    found = np.stack([here, there, change, *random.random((2, POINTS))], 1)
    found[random.random(POINTS) < 0.2] = np.nan
    return found.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_tells_scale_and_shift(seed: int) -> None:
    (a, b), (c, d) = (0.8, 0.1), (1.3, -0.2)
    share, log_scale, weight, here, there = compared(pair((a, b), (c, d), seed), infinity=-b / a)
    assert share == pytest.approx(0.8, abs=0.06)
    assert log_scale == pytest.approx(np.log(a / c), abs=0.02)
    assert a * here + b == pytest.approx(c * there + d, abs=0.01)
    assert weight > 1
    # Without what the motion explains, the camera's approach passes for a scale.
    plain = pair((a, b), (c, d), seed)
    plain[:, 2] = np.where(np.isnan(plain[:, 2]), np.nan, 1)
    assert compared(plain, infinity=-b / a)[3] - here == pytest.approx(0, abs=0.05)


def test_noise_does_not_shrink_the_scale() -> None:
    noisy = [compared(pair((1, 0), (1, 0), seed, noise=0.1, outliers=0), 0.0)[1] for seed in range(10)]
    assert np.mean(noisy) == pytest.approx(0, abs=0.02)  # least squares: log(1 / (1 + 0.1^2 / 0.29^2)) = -0.11


def test_a_scale_alone() -> None:
    found = compared(pair((0.5, 0), (0.8, 0)), infinity=None)
    assert found[1] == pytest.approx(np.log(0.5 / 0.8), abs=0.01)


def planted(count: int, cut: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scales, shifts, and what all pairs of frames say; none across the cut."""
    random = np.random.default_rng(1)
    scale, shift = np.exp(random.normal(0, 0.2, count)), random.normal(0, 0.1, count)
    pairs = np.zeros((count, len(REACH), 5))
    for second in range(count):
        for level, distance in enumerate(REACH):
            first = second - distance
            if first >= 0 and not (cut is not None and first < cut <= second):
                affine = [(float(scale[i]), float(shift[i])) for i in (first, second)]
                infinity = -affine[0][1] / affine[0][0]
                pairs[second, level] = compared(pair(affine[0], affine[1], seed=second), infinity)
    return scale, shift, pairs


def test_planted_scales_and_shifts_are_found() -> None:
    scale, shift, pairs = planted(40)
    found = aligned(pairs, middle=0.5, spread=0.25, with_shift=True)
    assert (found.scene == 0).all()
    # D = scale v + shift, so found.scale / scale is one number for all frames, and so is the shift that is left.
    factor = found.scale / scale
    left = found.shift - factor * shift
    assert np.std(np.log(scale)) > 0.15
    assert np.std(np.log(factor)) < 0.02
    assert np.ptp(shift) > 0.25
    assert np.ptp(left) < 0.06
    assert np.exp(np.log(found.scale).mean()) == pytest.approx(1, abs=0.02)  # it does not collapse
    without = aligned(np.zeros_like(pairs), middle=0.5, spread=0.25, with_shift=True)
    assert (without.scale == 1).all()
    assert (without.shift == 0).all()


def test_each_scene_is_aligned_by_itself() -> None:
    scale, _, pairs = planted(40, cut=15)
    found = aligned(pairs, middle=0.5, spread=0.25, with_shift=True)
    assert found.scene.tolist() == [0] * 15 + [1] * 25
    for part in (np.s_[:15], np.s_[15:]):
        assert np.std(np.log(found.scale / scale)[part]) < 0.02


def test_a_flash_is_no_cut() -> None:
    flash, cut = np.full((2, 20, len(REACH)), 0.8)
    for level, distance in enumerate(REACH):
        flash[:distance, level] = cut[:distance, level] = 0
        flash[[8, 8 + distance], level] = 0.05  # frame 8 has nothing in common with any other
        cut[8 : 8 + distance, level] = 0.05
    assert scenes_of(flash).max() == 0
    assert scenes_of(cut).tolist() == [0] * 8 + [1] * 12
