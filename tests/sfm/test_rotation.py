"""A camera that turns on the spot is told from one that moves, by matches whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.sfm.diagnosis import turned_on_the_spot, why_no_model
from lotus_recon.sfm.matching import MatchStatistics
from lotus_recon.sfm.rotation import fit_rotations

Matches = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
NOISE = 0.0003  # longer edges: 0.3 px of 1000


def seen(points: NDArray[np.float64], focal: float, radial: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Positions in longer edges, from the centre, with the distortion r (1 + radial r^2) and noise."""
    xy = points[:, :2] / points[:, 2:]
    return focal * xy * (1 + radial * (xy**2).sum(1, keepdims=True)) + rng.normal(0, NOISE, xy.shape)


def matches(focal: float, baseline: float, radial: float = 0.0, flat: bool = False, turn_deg: float = 8.0) -> Matches:
    """Of six photos, each a turn and ``baseline`` (of the depth) to the right of the last; a room or one wall."""
    rng = np.random.default_rng(0)
    half = 0.5 / focal
    depth = np.ones(4000) if flat else rng.uniform(0.6, 1.6, 4000)
    points = np.column_stack([rng.uniform(-3, 3, 4000), rng.uniform(-0.75 * half, 0.75 * half, 4000), np.ones(4000)])
    points *= depth[:, None]
    cameras = []
    for i in range(6):
        R = Rotation.from_euler("yx", [(i - 2.5) * turn_deg, 3 * (i % 2) * bool(turn_deg)], degrees=True).as_matrix()
        cameras.append((R, R @ np.array([-(i - 2.5) * baseline, 0, 0])))
    pairs = []
    for i in range(6):
        for j in range(i):
            first, second = (points @ R.T + t for R, t in (cameras[i], cameras[j]))
            both = (first[:, 2] > 0.1) & (second[:, 2] > 0.1)
            inside = [np.abs(p[both, :2] / p[both, 2:]).max(1) < half for p in (first, second)]
            kept = np.flatnonzero(both)[inside[0] & inside[1]][:200]
            if len(kept) >= 30:
                pairs.append((seen(first[kept], focal, radial, rng), seen(second[kept], focal, radial, rng)))
    return pairs


def statistics(pairs: Matches, flat: float = 1.0, watermarked: int = 0) -> MatchStatistics:
    """As after matching, where one homography explains the share ``flat`` of the pairs."""
    numbers = [(i, j) for i in range(6) for j in range(i)][: len(pairs)]
    count = round(flat * len(pairs))
    stamped = frozenset([(0, 5 - i) for i in range(watermarked)])
    inliers = dict.fromkeys([*numbers, *stamped], 50)
    sampled = dict(zip(numbers, pairs, strict=True))
    return MatchStatistics((900,) * 6, inliers, frozenset(numbers[:count]), 0.1, stamped, sampled)


@pytest.mark.parametrize("focal", [0.5, 0.83, 1.5])
@pytest.mark.parametrize("radial", [0.0, -0.08, 0.05])
def test_a_turning_camera_is_recognised_and_its_focal_length_with_it(focal: float, radial: float) -> None:
    pairs = matches(focal, baseline=0.0, radial=radial)
    fit = fit_rotations(pairs)
    assert fit is not None
    assert fit.residual < 0.001
    assert fit.focal == pytest.approx(focal, rel=0.1)
    assert turned_on_the_spot(statistics(pairs))
    assert turned_on_the_spot(statistics(pairs, flat=0.9)), "one odd pair does not hide it"
    assert turned_on_the_spot(statistics(pairs, watermarked=2)), "nor do stamps"


@pytest.mark.parametrize("focal", [0.5, 0.83, 1.5])
@pytest.mark.parametrize("baseline", [0.03, 0.1, 0.3])
def test_a_camera_that_moves_is_not_taken_for_one_that_turns(focal: float, baseline: float) -> None:
    for turn_deg in (0.0, 5.0):
        assert not turned_on_the_spot(statistics(matches(focal, baseline, turn_deg=turn_deg)))


@pytest.mark.parametrize("focal", [0.5, 0.83])
@pytest.mark.parametrize("turn_deg", [0.0, 5.0])
def test_a_camera_that_moves_along_a_wall_is_not_either(focal: float, turn_deg: float) -> None:
    assert not turned_on_the_spot(statistics(matches(focal, baseline=0.1, flat=True, turn_deg=turn_deg)))


def test_pairs_that_homographies_do_not_explain_speak_against_it() -> None:
    assert not turned_on_the_spot(statistics(matches(0.8, baseline=0.0), flat=0.5))


def test_one_group_of_several_can_have_turned() -> None:
    turned, moved = matches(0.8, baseline=0.0), matches(0.8, baseline=0.2)
    both = MatchStatistics(
        (900,) * 12,
        dict.fromkeys([(i, j) for start in (0, 6) for i in range(start, start + 6) for j in range(start, i)], 50),
        frozenset((i, j) for i in range(6) for j in range(i)),
        0.1,
        frozenset(),
        {(i % 6, j): pair for pair, (i, j) in zip(turned, [(i, j) for i in range(6) for j in range(i)], strict=False)}
        | {(6 + i, 6 + j): p for p, (i, j) in zip(moved, [(i, j) for i in range(6) for j in range(i)], strict=False)},
    )
    assert not turned_on_the_spot(both)
    assert turned_on_the_spot(both.within(range(6)))
    assert not turned_on_the_spot(both.within(range(6, 12)))


def test_the_cause_is_told() -> None:
    told = why_no_model([f"{i}.jpg" for i in range(6)], statistics(matches(0.8, 0.0), flat=0.9))
    assert "the camera turned without moving: rotations alone explain the matches of" in told


def test_without_matches_there_is_no_fit() -> None:
    assert fit_rotations([]) is None
