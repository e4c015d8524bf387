"""What a lens and a hand do to an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lotus_recon.synthetic.rooms.lens import through_lens
from lotus_recon.synthetic.rooms.look import NEUTRAL
from lotus_recon.types import DepthKind, DepthMap

STRIPES = np.repeat((np.indices((60, 80)).sum(0) % 2).astype(np.float64)[..., None], 3, axis=2)
HALVES = np.where(np.arange(80) < 40, 0.5, 5.0) * np.ones((60, 1))
DEPTH = DepthMap(HALVES.astype(np.float32), np.ones((60, 80), bool), DepthKind.METRIC)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_changes_when_all_is_off() -> None:
    assert np.allclose(through_lens(STRIPES, NEUTRAL, random(), DEPTH), STRIPES, atol=1e-6)


def test_out_of_focus_is_what_is_not_at_the_distance_of_the_focus() -> None:
    look = replace(NEUTRAL, defocus=1.0, aperture=0.02)
    kept = []
    for seed in range(12):
        image = through_lens(STRIPES, look, random(seed), DEPTH)
        kept.append((image[20:40, 10:30].std(), image[20:40, 50:70].std()))
    near, far = np.array(kept).T / STRIPES.std()
    assert (np.maximum(near, far) > 0.95).all(), "one of both is sharp"
    assert (np.minimum(near, far) < 0.5).mean() > 0.5
    assert np.allclose(through_lens(STRIPES, look, random(), None), STRIPES, atol=1e-6), "not without depth"


def test_a_shaken_image_is_blurred_and_as_bright() -> None:
    look = replace(NEUTRAL, motion=1.0, motion_px=4.0)
    images = [through_lens(STRIPES, look, random(seed), None) for seed in range(12)]
    assert np.mean([image.std() for image in images]) < 0.6 * STRIPES.std()
    assert np.allclose([image.mean() for image in images], STRIPES.mean(), rtol=0.02)


def test_the_corners_move_by_less_than_is_allowed_and_the_middle_stays() -> None:
    dots = np.zeros((60, 80, 3))
    dots[30:32, 40:42] = dots[2:4, 2:4] = 1.0
    for seed in range(8):
        image = through_lens(dots, replace(NEUTRAL, distortion_px=0.8, fringe_px=0.6), random(seed), None)
        assert np.allclose(image[28:34, 38:44], dots[28:34, 38:44], atol=0.05)
        columns = np.arange(10)
        place = (image[:10, :10] * columns[:, None]).sum((0, 1)) / image[:10, :10].sum((0, 1))
        assert np.abs(place - 2.5).max() < 0.8 + 0.3
    assert np.abs(image - dots).max() > 0.05
