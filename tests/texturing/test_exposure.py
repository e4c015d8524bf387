"""Gains of photos: those that were planted, those that would make a texture white, and those nothing speaks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb, srgb_of_linear
from lotus_recon.texturing.exposure import exposure_gains
from lotus_recon.texturing.painting import exposed
from lotus_recon.texturing.sightings import Sighting, sighting_of
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import FloatArray, IntArray
from tests.texturing import scenes

FACES = 800


def table_of(colors: Sequence[FloatArray], faces: Sequence[IntArray] | None = None) -> SightingTable:
    """Photos that show whole triangles (all of them, or ``faces``) in ``colors`` (N, 3)."""
    which = faces or [np.arange(FACES)] * len(colors)
    sightings = []
    for color, seen in zip(colors, which, strict=True):
        ones = np.ones(len(seen), np.float32)
        shown = color.round().clip(0, 255).astype(np.float32)
        sightings.append(Sighting(seen.astype(np.int32), ones > 0, 9 * ones, ones, ones, shown))
    return SightingTable.of(sightings, FACES)


def photographed(light: NDArray[np.float64], exposure: float) -> NDArray[np.float64]:
    """(N, 3) colours of what sends linear ``light`` (N, 3), clipped at white."""
    return 255 * srgb_of_linear(light * exposure)


def random_light(seed: int) -> NDArray[np.float64]:
    return linear_of_srgb(np.random.default_rng(seed).uniform(60, 200, (FACES, 3)) / 255)


def test_planted_exposure_and_white_balance_are_found_and_the_usual_photo_keeps_its_own() -> None:
    seen, surface = scenes.views(5), scenes.surface()
    planted = np.array([[1, 1, 1], [0.5, 0.55, 0.5], [1, 1, 1], [1.4, 1.4, 1.2], [1, 1, 1]])
    images = [exposed(scenes.photo_of(v), g).round().astype(np.uint8) for v, g in zip(seen, planted, strict=True)]
    sightings = [sighting_of(view, rgb, None, surface) for view, rgb in zip(seen, images, strict=True)]
    gains = exposure_gains(SightingTable.of(sightings, len(surface.mesh.triangles)), 5)
    np.testing.assert_allclose(gains * planted, 1, atol=0.03)
    one = exposure_gains(SightingTable.of(sightings[:1], len(surface.mesh.triangles)), 1)
    np.testing.assert_array_equal(one, 1)


def test_a_third_of_wrong_colours_does_not_change_the_gains() -> None:
    """Where the mesh is wrong, photos show something else; clipped and dark ones tell nothing."""
    light = random_light(0)
    colors = [photographed(light, exposure) for exposure in (1.0, 0.5, 1.0, 1.5, 1.0)]
    random = np.random.default_rng(1)
    for color in colors:
        wrong = random.random(FACES) < 0.33
        color[wrong] = random.choice([2.0, 90.0, 255.0], (int(wrong.sum()), 1))
    gains = exposure_gains(table_of(colors), 5)
    np.testing.assert_allclose(gains, np.array([[1], [2], [1], [1 / 1.5], [1]]) * np.ones(3), rtol=0.05)


def test_gains_that_would_make_half_of_the_texture_white_are_held_to_one() -> None:
    """A dark room and a bright one, ten times apart, each well exposed in its photos; one photo joins the two."""
    light = random_light(2)
    left, right = np.arange(FACES // 2), np.arange(FACES // 2, FACES)
    light[right] *= 10
    colors = [photographed(light[left], 1.0)] * 5 + [photographed(light[right], 0.1)] * 3 + [photographed(light, 1 / 3)]
    table = table_of(colors, [left] * 5 + [right] * 3 + [np.arange(FACES)])
    after = table.exposed(exposure_gains(table, 9))
    own = (table.view >= 5) & (table.view < 8)
    assert (after.color[own].max(1) > 254).mean() < 0.05
    assert np.abs(after.color[own].mean() - table.color[own].mean()) < 40


def test_photos_that_share_nothing_but_noise_keep_their_exposure() -> None:
    gains = exposure_gains(table_of([photographed(random_light(seed), 1.0) for seed in range(6)]), 6)
    np.testing.assert_array_equal(gains, 1)
