"""Chance, strength and repeatability of augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.augmentation import augmented, draw, drawn_colours, random_box, recoloured
from lotus_recon.training.config import DataConfig
from lotus_recon.training.framing import Box
from tests.training.samples import numbered


def photo(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Coloured slopes with a dark square."""
    x, y = np.meshgrid(np.linspace(40, 200, width), np.linspace(60, 180, height))
    rgb = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    rgb[30:60, 40:70] //= 2
    return rgb


def changed(sample: Sample, width: int, height: int, config: DataConfig, rng: np.random.Generator) -> Sample:
    return augmented(sample, draw(sample.rgb.shape, width, height, config, rng))


def test_boxes_lie_inside_have_the_proportions_and_the_share() -> None:
    boxes = [random_box((100, 300), 64, 48, 0.5, np.random.default_rng(seed)) for seed in range(300)]
    for box in boxes:
        assert box.left >= 0
        assert box.top >= 0
        assert box.left + box.width <= 300
        assert box.top + box.height <= 100
        assert abs(box.width - box.height * 64 / 48) <= 1.2
    heights = np.array([box.height for box in boxes])
    assert heights.min() in range(50, 54)
    assert heights.max() in range(97, 101)
    assert min(box.left for box in boxes) < 10
    assert max(box.left + box.width for box in boxes) > 290


def test_without_cropping_it_is_the_largest_part_in_the_middle() -> None:
    assert random_box((100, 300), 64, 32, 1, np.random.default_rng(0)) == Box(50, 0, 200, 100)
    assert random_box((100, 300), 600, 200, 1, np.random.default_rng(0)) == Box(0, 0, 300, 100)


def test_with_all_switched_off_nothing_changes() -> None:
    sample = replace(numbered(96, 128), rgb=photo())
    same = changed(sample, 128, 96, DataConfig(flip=False), np.random.default_rng(0))
    np.testing.assert_array_equal(same.rgb, sample.rgb)
    np.testing.assert_array_equal(same.depth, sample.depth)


def test_every_other_sample_is_mirrored() -> None:
    sample = numbered()
    results = [changed(sample, 16, 12, DataConfig(), np.random.default_rng(seed)).rgb for seed in range(400)]
    unchanged = sum(np.array_equal(rgb, sample.rgb) for rgb in results)
    assert 160 < unchanged < 240  # four standard deviations


def test_a_seed_decides_everything() -> None:
    sample, config = replace(numbered(96, 128), rgb=photo()), DataConfig(smallest_crop=0.6, photometric=1)
    first, again, other = (changed(sample, 64, 48, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for field in ("rgb", "depth", "depth_valid", "sky", "normals", "normals_valid"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert (first.rgb != other.rgb).mean() > 0.5


def test_colours_do_not_move_geometry() -> None:
    sample = replace(numbered(96, 128), rgb=photo())
    plain = changed(sample, 64, 48, DataConfig(smallest_crop=0.6), np.random.default_rng(5))
    strong = changed(sample, 64, 48, DataConfig(smallest_crop=0.6, photometric=1), np.random.default_rng(5))
    np.testing.assert_array_equal(plain.depth, strong.depth)
    np.testing.assert_array_equal(plain.normals, strong.normals)


def test_strength_is_how_far_colours_go() -> None:
    rgb = photo()

    def changes(strength: float) -> NDArray[np.float64]:
        made = [recoloured(rgb, drawn_colours(rgb.shape, strength, np.random.default_rng(seed))) for seed in range(60)]
        return np.array([np.abs(m.astype(float) - rgb).mean() for m in made])

    almost_none, weak, strong = changes(1e-6), changes(0.3), changes(1)
    assert almost_none.max() < 2  # rounding and JPEG of the best quality
    assert 2 < weak.mean() < 0.6 * strong.mean()
    assert strong.mean() < 60  # it stays a photo


def test_a_strongly_changed_photo_still_shows_the_same_things() -> None:
    rgb = photo()
    for seed in range(100):
        grey = recoloured(rgb, drawn_colours(rgb.shape, 1, np.random.default_rng(seed))).astype(float).mean(-1)
        inside, around = grey[32:58, 42:68].mean(), np.median([grey[20:28, 42:68].mean(), grey[62:70, 42:68].mean()])
        assert inside < 0.95 * around, f"seed {seed}: the dark square is gone"


@pytest.mark.parametrize("rgb", [np.zeros((16, 24, 3), np.uint8), np.full((16, 24, 3), 255, np.uint8)])
def test_black_and_white_photos_are_no_trouble(rgb: NDArray[np.uint8]) -> None:
    for seed in range(20):
        result = recoloured(rgb, drawn_colours(rgb.shape, 3, np.random.default_rng(seed)))
        assert result.shape == rgb.shape
        assert result.dtype == np.uint8
