"""Noise and textures: repeatable, within range, smooth where they should be, and rich enough for features."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.synthetic import textures
from lotus_recon.synthetic.arrangement import Texture
from lotus_recon.synthetic.noise import Noise

COLORS = ("#20304a", "#c0552b", "#f2e9d0")
MAKERS = {
    "planks": lambda seed: textures.planks(seed, 0.1, 1.0, COLORS),
    "bricks": lambda seed: textures.bricks(seed, 0.2, 0.08, 0.01, COLORS, "#b0a890"),
    "plaster": lambda seed: textures.plaster(seed, COLORS, 0.5),
    "marble": lambda seed: textures.marble(seed, 0.3),
    "banded clay": lambda seed: textures.banded_clay(seed, 1.0, COLORS, "#201810"),
    "mosaic": lambda seed: textures.mosaic(seed, 0.06, COLORS),
    "painting": lambda seed: textures.painting(seed, 0.5, COLORS),
    "cover": lambda seed: textures.cover(seed, "#7a1f2b", "#e8d9a8", 0.3),
    "rug": lambda seed: textures.rug(seed, 0.12, COLORS),
    "peeling": lambda seed: textures.peeling(
        seed, textures.plaster(seed, COLORS, 0.5), textures.marble(seed, 0.3), 0.4
    ),
    "folded": lambda seed: textures.folded(textures.planks(seed, 0.1, 1.0, COLORS), 0.02),
}


def plane(side_px: int = 200) -> NDArray[np.float32]:
    """Points on one square metre of the plane z = 0.3."""
    x, y = np.meshgrid(*2 * (np.linspace(-0.5, 0.5, side_px),))
    return np.stack([x, y, np.full_like(x, 0.3)], axis=-1).reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("maker", MAKERS)
def test_textures_are_colours_and_repeatable(maker: str) -> None:
    points = plane(60)
    first: Texture = MAKERS[maker](3)
    colors = first(points)
    assert colors.shape == (3600, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert np.array_equal(colors, MAKERS[maker](3)(points))
    assert not np.allclose(colors, MAKERS[maker](4)(points), atol=0.02)
    assert np.allclose(colors[::-1], first(points[::-1])), "a point's colour depends on the point alone"


@pytest.mark.parametrize("maker", MAKERS)
def test_textures_have_features_everywhere(maker: str) -> None:
    picture = (255 * MAKERS[maker](3)(plane()) ** (1 / 2.2)).astype(np.uint8).reshape(200, 200, 3)
    keypoints = cv2.SIFT.create().detect(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None)
    quarters = {(int(k.pt[0] >= 100), int(k.pt[1] >= 100)) for k in keypoints}
    assert len(keypoints) > 60
    assert len(quarters) == 4


def test_noise_is_continuous_and_fills_its_range() -> None:
    noise = Noise(5)
    line = np.zeros((20_001, 3), np.float32)
    line[:, 0] = np.linspace(0, 40, 20_001)
    values = noise.smooth(line, 1.0)
    assert np.abs(np.diff(values)).max() < 4e-3  # at most 1.5 per cell
    assert values.min() < 0.1
    assert values.max() > 0.9
    assert values.mean() == pytest.approx(0.5, abs=0.1)


def test_noise_takes_the_random_value_at_every_lattice_point() -> None:
    lattice = np.array([[0, 0, 0], [1, 0, 0], [3, 5, 7], [64, 0, 0]], np.float32)
    values = Noise(5).smooth(lattice, 1.0)
    expected = np.random.default_rng(5).random((64, 64, 64), np.float32)
    assert values.tolist() == pytest.approx(
        [expected[0, 0, 0], expected[1, 0, 0], expected[3, 5, 7], expected[0, 0, 0]]
    )


def test_frequency_may_differ_by_axis() -> None:
    points = np.random.default_rng(0).random((100, 3)).astype(np.float32)
    assert np.allclose(Noise(1).smooth(points, (2, 3, 4)), Noise(1).smooth(points * [2, 3, 4], 1.0), atol=1e-5)


def test_numbers_of_cells_are_uniform_and_unlike_their_neighbours() -> None:
    row, column = (axis.ravel() for axis in np.mgrid[-50:50, -50:50])
    values = Noise(2).of_cell(row, column)
    assert np.histogram(values, 5, (0, 1))[0].min() > 1500
    grid = values.reshape(100, 100)
    assert abs(np.corrcoef(grid[:, 1:].ravel(), grid[:, :-1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(values, Noise(2).of_cell(row, column, channel=1))[0, 1]) < 0.05


def test_colours_are_linear_light() -> None:
    assert textures.linear("#ffffff") == pytest.approx([1, 1, 1])
    assert textures.linear("#bc0000")[0] == pytest.approx(0.503, abs=2e-3)
    assert textures.ramp(np.array([0, 0.5, 1]), ("#000000", "#ffffff"))[:, 0] == pytest.approx([0, 0.5, 1])
