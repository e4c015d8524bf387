"""Points of frames that were moved by a known camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.types import DepthKind, DepthMap
from lotus_recon.video.flow import change_of_disparity, glance, sampled

SIZE = (320, 240)


def picture(seed: int, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """(height, width, 3) with corners everywhere."""
    noise = np.random.default_rng(seed).integers(0, 255, (height // 6, width // 6, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_change_of_disparity_is_that_of_the_motion() -> None:
    random = np.random.default_rng(0)
    rays = np.concatenate([random.uniform(-0.5, 0.5, (600, 2)), np.ones((600, 1))], 1)
    depth = random.uniform(1, 5, 600)
    turn = Rotation.from_rotvec([0.01, -0.03, 0.02]).as_matrix()
    after = (rays * depth[:, None]) @ turn.T + [0.05, -0.02, -0.12]  # a step ahead
    values = 0.7 / depth + 0.3  # disparity up to scale and shift
    there = after[:, :2] / after[:, 2:] + random.normal(0, 3e-4, (600, 2))
    there[:60] += random.uniform(-0.2, 0.2, (60, 2))  # what moves by itself
    found = change_of_disparity(rays[:, :2], there, values)
    true = depth / after[:, 2]
    assert np.ptp(true) > 0.1
    assert np.abs(found / true - 1)[60:].max() < 0.005


@pytest.mark.parametrize(("moved", "turned_deg"), [((5, -3), 0.0), ((110, 20), 12.0)])
def test_points_are_found_again(moved: tuple[int, int], turned_deg: float) -> None:
    wide = picture(0, 800, 600)
    value = (np.arange(800, dtype=np.float32)[None] / 400 + np.arange(600, dtype=np.float32)[:, None] / 600) / 2
    to_second = cv2.getRotationMatrix2D((400, 300), turned_deg, 1)
    to_second[:, 2] -= moved
    second, second_value = (cv2.warpAffine(image, to_second, (800, 600)) for image in (wide, value))
    window = np.s_[180:420, 240:560]
    frames = [
        glance(
            np.asarray(rgb[window]),
            DepthMap(np.asarray(v[window], np.float32), np.ones((240, 320), bool), DepthKind.AFFINE),
        )
        for rgb, v in ((wide, value), (second, second_value))
    ]
    samples = sampled(*frames)
    known = samples[np.isfinite(samples[:, 0])]
    assert len(known) > 0.4 * len(samples)
    # A point has the same value in both frames where it was found again: the value is that of its place.
    assert np.median(np.abs(known[:, 1] - known[:, 0])) < 0.002
    assert np.percentile(np.abs(known[:, 1] - known[:, 0]), 95) < 0.01


def test_other_scenes_share_next_to_nothing() -> None:
    depth = DepthMap(np.ones((240, 320), np.float32), np.ones((240, 320), bool), DepthKind.AFFINE)
    first, second = (glance(picture(seed, *SIZE), depth) for seed in (0, 1))
    assert np.isfinite(sampled(first, second)[:, 0]).mean() < 0.15


def test_invalid_pixels_are_no_points() -> None:
    valid = np.ones((240, 320), bool)
    valid[:, :160] = False
    seen = glance(picture(0, *SIZE), DepthMap(np.ones((240, 320), np.float32), valid, DepthKind.METRIC))
    x = sampled(seen, seen)[:, 3]
    assert x[np.isfinite(x)].min() > 0.5
