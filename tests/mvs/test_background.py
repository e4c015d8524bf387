"""What counts as background: drawn photos whose regions are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from lotus_recon.mvs.background import Background, background
from lotus_recon.types import BoolArray

H, W = 180, 240
TOP = np.zeros((H, W), bool)  # upper half
TOP[:90] = True
AROUND = np.ones((H, W), bool)  # all but a thing in the middle
AROUND[50:130, 70:170] = False
NOTHING = np.zeros((H, W), bool)


def photo(
    region: BoolArray, value: float, rest: float = 0.4, tint: tuple[float, float, float] = (0, 0, 0)
) -> NDArray[np.uint8]:
    """Grey texture of mean ``rest``, and a region of one value; noise of a camera everywhere."""
    rng = np.random.default_rng(0)
    texture = rest + rng.uniform(-0.2, 0.2, (H, W))
    gray = (np.where(region, value, texture) + rng.normal(0, 0.002, (H, W))).clip(0, 1)
    rgb = np.where(region[..., None], gray[..., None] + np.array(tint), gray[..., None])
    return np.asarray((255 * rgb.clip(0, 1)).round(), np.uint8)


def found(
    region: BoolArray,
    value: float,
    rule: Background = "auto",
    shape: np.ndarray | None = None,
    matched: BoolArray = NOTHING,
    rest: float = 0.4,
    tint: tuple[float, float, float] = (0, 0, 0),
) -> BoolArray:
    rgb = photo(region, value, rest, tint)
    return background(rgb, matched, None if shape is None else shape.astype(np.float32), rule)


def covers(answer: BoolArray, region: BoolArray) -> bool:
    """Whether the answer is the region, up to the width of the window in which uniformity is measured."""
    square = np.ones((15, 15), bool)
    grown = binary_dilation(region, square)
    shrunk = binary_erosion(region, square, border_value=1)
    return bool(not answer[~grown].any() and answer[shrunk].all())


@pytest.mark.parametrize("value", [0.02, 0.99])
def test_a_black_or_white_backdrop_goes(value: float) -> None:
    assert covers(found(AROUND, value), AROUND)


@pytest.mark.parametrize("value", [0.1, 0.5, 0.9])
def test_a_plain_wall_around_a_thing_stays_unless_all_uniform_regions_are_dropped(value: float) -> None:
    assert not found(AROUND, value).any()
    assert covers(found(AROUND, value, "drop"), AROUND)
    assert not found(AROUND, value, "keep").any()


def test_keep_keeps_a_black_backdrop() -> None:
    assert not found(AROUND, 0.02, "keep").any()


@pytest.mark.parametrize("sky_depth", [20.0, 0.0])
def test_the_sky_over_a_wall_goes(sky_depth: float) -> None:
    """Far behind it for the network, or beyond all depth."""
    shape = np.where(TOP, sky_depth, 5.0)
    assert covers(found(TOP, 0.8, shape=shape), TOP)


def test_a_white_wall_or_ceiling_of_a_room_stays() -> None:
    """It is as bright as a sky and reaches the upper border, but things stand before it and others reach as far."""
    slope = np.broadcast_to(np.linspace(3, 6, W), (H, W))
    assert not found(TOP, 0.9, shape=slope).any()
    ceiling = np.where(TOP, 2.0, 5.0)
    assert not found(TOP, 0.9, shape=ceiling).any()


def test_what_is_far_but_dark_or_below_is_no_sky() -> None:
    assert not found(TOP, 0.3, shape=np.where(TOP, 20.0, 5.0), rest=0.6).any()
    assert not found(~TOP, 0.8, shape=np.where(TOP, 5.0, 20.0)).any()


def test_without_a_network_there_is_no_sky() -> None:
    assert not found(TOP, 0.8).any()
    assert not found(TOP, 0.8, shape=np.zeros((H, W))).any()


@pytest.mark.parametrize("rule", ["auto", "drop"])
def test_what_photos_decide_or_does_not_reach_the_border_or_is_small_stays(rule: Background) -> None:
    matched = np.random.default_rng(1).random((H, W)) < 0.1
    assert not found(AROUND, 0.02, rule, matched=matched).any()
    assert not found(~AROUND, 0.02, rule).any()
    corner = np.zeros((H, W), bool)
    corner[:17, :17] = True
    assert not found(corner, 0.02, rule).any()


@pytest.mark.parametrize(("tint", "goes"), [((-0.08, 0.0, 0.08), True), ((0.04, 0.0, -0.04), False)])
def test_a_bright_blue_region_at_the_upper_border_is_sky(tint: tuple[float, float, float], goes: bool) -> None:
    """Though the network takes it for a wall; a warm one, a ceiling say, stays."""
    assert found(TOP, 0.75, shape=np.ones((H, W)), tint=tint).any() == goes
    lower = ~TOP
    assert not found(lower, 0.75, shape=np.ones((H, W)), tint=tint).any()
