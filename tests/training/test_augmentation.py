"""Augmentation against analytic planes and against bookkeeping of single pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import normalized, normals_from_depth
from lotus_recon.training.augmentation import (
    Box,
    augmented,
    centred,
    cropped,
    mirrored,
    random_box,
    recoloured,
    resized,
)
from lotus_recon.training.config import DataConfig
from lotus_recon.types import Camera

NORMAL = normalized(np.array([0.5, -0.3, -0.8]))  # of a tilted plane at distance 3


def plane_depth(camera: Camera, normal: NDArray[np.float64] = NORMAL) -> NDArray[np.float32]:
    """z-depth of the points with normal . point = -3."""
    rays = rays_in_cam(camera)
    return (-3 / (rays * normal).sum(-1) * rays[..., 2]).astype(np.float32)


def plane(camera: Camera) -> Sample:
    shape = camera.height, camera.width
    rgb = np.zeros((*shape, 3), np.uint8)
    normals = np.broadcast_to(NORMAL, (*shape, 3)).astype(np.float32)
    everywhere = np.ones(shape, bool)
    return Sample("plane", rgb, plane_depth(camera), everywhere, ~everywhere, normals, everywhere)


def numbered(height: int = 12, width: int = 16) -> Sample:
    """Every pixel's depth and colour say which it is; some are invalid, some sky."""
    number = np.arange(height * width).reshape(height, width)
    valid, sky = number % 7 != 3, number % 7 == 3
    normals = np.stack([number, number, number], -1).astype(np.float32)
    rgb = np.stack([number % 256] * 3, -1).astype(np.uint8)
    return Sample("numbered", rgb, number.astype(np.float32) + 1, valid, sky, normals, valid)


def photo(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Coloured slopes with a dark square."""
    x, y = np.meshgrid(np.linspace(40, 200, width), np.linspace(60, 180, height))
    rgb = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    rgb[30:60, 40:70] //= 2
    return rgb


def test_the_mirrored_plane_has_the_normals_of_its_mirrored_depth() -> None:
    camera = Camera.from_fov_deg(60, 40, 30)
    result = mirrored(plane(camera))
    assert result.depth is not None
    assert result.normals is not None
    assert result.depth_valid is not None
    # The plane in the mirror, made anew.
    np.testing.assert_allclose(result.depth, plane_depth(camera, NORMAL * [-1, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(result.normals[0, 0], NORMAL * [-1, 1, 1], atol=1e-6)
    from_depth, known = normals_from_depth(result.depth, result.depth_valid, camera)
    np.testing.assert_allclose(result.normals[known], from_depth[known], atol=1e-3)


def test_mirrored_twice_is_the_same() -> None:
    sample = numbered()
    twice = mirrored(mirrored(sample))
    assert twice.name == sample.name
    for field in ("rgb", "depth", "depth_valid", "sky", "normals", "normals_valid"):
        np.testing.assert_array_equal(getattr(twice, field), getattr(sample, field))


@pytest.mark.parametrize(("width", "height"), [(8, 6), (5, 9), (16, 12), (40, 31)])
def test_crop_and_resize_take_each_pixel_from_the_one_its_centre_is_in(width: int, height: int) -> None:
    sample, box = numbered(), Box(left=3, top=2, width=10, height=8)
    result = resized(cropped(sample, box), width, height)
    assert result.rgb.shape == (height, width, 3)
    for name in ("depth", "depth_valid", "sky", "normals", "normals_valid"):
        source, made = getattr(sample, name), getattr(result, name)
        for i, j in np.ndindex(height, width):
            y = box.top + (2 * i + 1) * box.height // (2 * height)
            x = box.left + (2 * j + 1) * box.width // (2 * width)
            np.testing.assert_array_equal(made[i, j], source[y, x])


@pytest.mark.parametrize(("width", "height"), [(20, 15), (80, 60), (56, 42)])
def test_a_resized_plane_is_the_plane_of_the_resized_camera(width: int, height: int) -> None:
    camera = Camera.from_fov_deg(50, 40, 30)
    result = resized(plane(camera), width, height)
    expected = plane_depth(camera.resized(width, height))
    # A value is that of the source pixel, whose centre is at most half a source pixel away on each axis.
    gradients = [np.abs(np.diff(plane_depth(camera), axis=axis)).max() for axis in (0, 1)]
    assert result.depth is not None
    assert np.abs(result.depth - expected).max() <= 0.5 * sum(gradients) * 1.05


@pytest.mark.parametrize(("width", "height"), [(60, 45), (31, 23), (240, 180)])
@pytest.mark.parametrize("flip", [False, True])
def test_picture_and_depth_stay_together(width: int, height: int, flip: bool) -> None:
    near = np.zeros((90, 120), bool)
    near[20:70, 30:95] = True
    rgb = np.where(near[..., None], np.uint8(200), np.uint8(50)).repeat(3, -1)
    sample = Sample("square", rgb, np.where(near, 1, 5).astype(np.float32), np.ones((90, 120), bool), None, None, None)
    result = resized(cropped(sample, Box(10, 10, 100, 75)), width, height)
    result = mirrored(result) if flip else result
    assert result.depth is not None
    bright = result.rgb[..., 0] > 125
    # Only pixels that the edge itself crosses may disagree.
    assert (bright != (result.depth < 3)).mean() < 0.01


def test_colours_are_averaged_when_made_smaller() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.uint8)
    sample = Sample("checks", np.stack([checks] * 3, -1), None, None, None, None, None)
    np.testing.assert_allclose(resized(sample, 16, 16).rgb, 100, atol=1)


def test_boxes_lie_inside_have_the_proportions_and_the_share() -> None:
    sample = Sample("wide", np.zeros((100, 300, 3), np.uint8), None, None, None, None, None)
    boxes = [random_box(sample, 64, 48, 0.5, np.random.default_rng(seed)) for seed in range(300)]
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
    sample = Sample("wide", np.zeros((100, 300, 3), np.uint8), None, None, None, None, None)
    assert random_box(sample, 64, 32, 1, np.random.default_rng(0)) == Box(50, 0, 200, 100)
    assert random_box(sample, 600, 200, 1, np.random.default_rng(0)) == Box(0, 0, 300, 100)


def test_centred_has_no_chance_and_no_mirror() -> None:
    result = centred(numbered(12, 16), 8, 8)
    np.testing.assert_array_equal(result.depth, resized(cropped(numbered(), Box(2, 0, 12, 12)), 8, 8).depth)


def test_with_all_switched_off_nothing_changes() -> None:
    sample = replace(numbered(96, 128), rgb=photo())
    same = augmented(sample, 128, 96, DataConfig(flip=False), np.random.default_rng(0))
    np.testing.assert_array_equal(same.rgb, sample.rgb)
    np.testing.assert_array_equal(same.depth, sample.depth)


def test_every_other_sample_is_mirrored() -> None:
    sample = numbered()
    results = [augmented(sample, 16, 12, DataConfig(), np.random.default_rng(seed)).rgb for seed in range(400)]
    unchanged = sum(np.array_equal(rgb, sample.rgb) for rgb in results)
    assert 160 < unchanged < 240  # four standard deviations


def test_a_seed_decides_everything() -> None:
    sample, config = replace(numbered(96, 128), rgb=photo()), DataConfig(smallest_crop=0.6, photometric=1)
    first, again, other = (augmented(sample, 64, 48, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for field in ("rgb", "depth", "depth_valid", "sky", "normals", "normals_valid"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
    assert (first.rgb != other.rgb).mean() > 0.5


def test_colours_do_not_move_geometry() -> None:
    sample = replace(numbered(96, 128), rgb=photo())
    plain = augmented(sample, 64, 48, DataConfig(smallest_crop=0.6), np.random.default_rng(5))
    strong = augmented(sample, 64, 48, DataConfig(smallest_crop=0.6, photometric=1), np.random.default_rng(5))
    np.testing.assert_array_equal(plain.depth, strong.depth)
    np.testing.assert_array_equal(plain.normals, strong.normals)


def test_strength_is_how_far_colours_go() -> None:
    rgb = photo()

    def changes(strength: float) -> NDArray[np.float64]:
        made = [recoloured(rgb, strength, np.random.default_rng(seed)) for seed in range(60)]
        return np.array([np.abs(m.astype(float) - rgb).mean() for m in made])

    almost_none, weak, strong = changes(1e-6), changes(0.3), changes(1)
    assert almost_none.max() < 2  # rounding and JPEG of the best quality
    assert 2 < weak.mean() < 0.6 * strong.mean()
    assert strong.mean() < 60  # it stays a photo


def test_a_strongly_changed_photo_still_shows_the_same_things() -> None:
    rgb = photo()
    for seed in range(100):
        grey = recoloured(rgb, 1, np.random.default_rng(seed)).astype(float).mean(-1)
        inside, around = grey[32:58, 42:68].mean(), np.median([grey[20:28, 42:68].mean(), grey[62:70, 42:68].mean()])
        assert inside < 0.95 * around, f"seed {seed}: the dark square is gone"


@pytest.mark.parametrize("rgb", [np.zeros((16, 24, 3), np.uint8), np.full((16, 24, 3), 255, np.uint8)])
def test_black_and_white_photos_are_no_trouble(rgb: NDArray[np.uint8]) -> None:
    for seed in range(20):
        result = recoloured(rgb, 3, np.random.default_rng(seed))
        assert result.shape == rgb.shape
        assert result.dtype == np.uint8
