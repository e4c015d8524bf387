"""Tiles: an estimator that sees no more than 64 pixels, and gauges of its own for every picture, is made sharp."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.models import load_model
from lotus_recon.models.base import ModelOptions, check_tile_fits
from lotus_recon.models.registry import check_model
from lotus_recon.models.tiling import TiledModel, level_sizes, merge_bands, network_calls, tiles_of
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction

EDGE = 64
FLAT = np.array([0.0, 0.0, -1.0], np.float32)


class Shortsighted:
    """Grey is disparity. Works at 64 pixels, with a scale, a shift and a tilt of the normals drawn anew every time."""

    name, tasks, batch_size = "shortsighted", ("depth", "normal"), 1

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self._rng = np.random.default_rng(0)

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        height, width = rgb.shape[:2]
        self.calls.append((width, height))
        shrink = min(1.0, EDGE / max(height, width))
        small = cv2.resize(rgb[..., 0], None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        grey = cv2.resize(small.astype(np.float32) / 255, (width, height))
        scale, shift = self._rng.uniform(0.5, 2), self._rng.uniform(-1, 1)
        if len(self.calls) == 1:
            scale, shift = 1.0, 0.0  # the whole photo: what all else is measured in
        tilt = 0.0 if len(self.calls) == 1 else self._rng.uniform(-0.3, 0.3)
        normal = FLAT + np.array([tilt, 0, 0], np.float32)
        everywhere = np.ones((height, width), bool)
        return Prediction(
            DepthMap(scale * grey + shift, everywhere, DepthKind.AFFINE_DISPARITY),
            NormalMap(np.tile(normal / np.linalg.norm(normal), (height, width, 1)), everywhere),
        )

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        return [self.predict(rgb, seed) for rgb in images]


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """512x384: a ramp with sixty discs before and behind it."""
    rng = np.random.default_rng(1)
    grey = np.tile(np.linspace(60, 160, 512), (384, 1)).astype(np.float32)
    for x, y, radius, value in rng.uniform([0, 0, 4, 0], [512, 384, 30, 255], (60, 4)):
        cv2.circle(grey, (int(x), int(y)), int(radius), float(value), -1)
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=2)


def waves(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """What is wider than an eighth of the photo."""
    return np.asarray(cv2.GaussianBlur(values.astype(np.float64), (0, 0), 32), np.float64)


def test_tiles_bring_back_what_the_whole_photo_blurs(photo: NDArray[np.uint8]) -> None:
    truth = photo[..., 0].astype(np.float32) / 255
    whole = Shortsighted().predict(photo).depth
    tiled = TiledModel(Shortsighted(), EDGE, "64").predict(photo)
    assert whole is not None
    assert tiled.depth is not None
    assert tiled.normals is not None
    assert tiled.depth.shape == tiled.normals.shape == truth.shape
    before, after = (np.abs(each.values - truth) for each in (whole, tiled.depth))
    assert after.mean() < 0.4 * before.mean()
    assert np.abs(waves(tiled.depth.values) - waves(whole.values)).max() < 0.005, "the long waves stay"
    assert tiled.depth.valid.all()
    # Every tile's normals were tilted by a draw of its own.
    angle = np.degrees(np.arccos(np.clip(tiled.normals.values @ FLAT, -1, 1)))
    assert angle.max() < 0.1
    assert tiled.meta["image_size"] == [512, 384]


def test_no_seam_is_seen(photo: NDArray[np.uint8]) -> None:
    """Errors of the slopes at the borders of tiles are no larger than beside them."""
    truth = photo[..., 0].astype(np.float32) / 255
    tiled = TiledModel(Shortsighted(), EDGE, "128").predict(photo).depth
    assert tiled is not None
    error = np.abs(np.diff(tiled.values - truth, axis=1))
    width, height = level_sizes(512, 384, EDGE, 128)[-1]
    borders = {2 * each for tile in tiles_of(width, height, 64, 48) for each in (tile.left, tile.right)} - {0, 512}
    at = np.concatenate([error[:, x - 2 : x + 2].ravel() for x in borders])
    beside = np.concatenate([error[:, [x - 12, x - 8, x + 8, x + 12]].ravel() for x in borders])
    assert at.mean() < 1.1 * beside.mean()


def test_a_wall_without_texture_and_tiles_that_contradict_leave_the_map_as_it_is(photo: NDArray[np.uint8]) -> None:
    model = Shortsighted()
    wall = np.full_like(photo, 90)
    tiled = TiledModel(model, EDGE, "64").predict(wall).depth
    assert tiled is not None
    assert len(model.calls) == 1
    np.testing.assert_allclose(tiled.values, 90 / 255, atol=1e-5)

    class Contrary(Shortsighted):
        def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
            found = super().predict(rgb)
            assert found.depth is not None
            sign = 1 if len(self.calls) == 1 else -1
            return Prediction(DepthMap(sign * found.depth.values, found.depth.valid, found.depth.kind), found.normals)

    tiled = TiledModel(Contrary(), EDGE, "64").predict(photo).depth
    assert tiled is not None
    small = cv2.resize(photo, (64, 48), interpolation=cv2.INTER_AREA)[..., 0].astype(np.float32) / 255
    assert np.abs(tiled.values - cv2.resize(small, (512, 384))).mean() < 0.01


def test_a_map_with_its_own_slopes_is_itself() -> None:
    """The equation is solved exactly; long waves come from the base, whatever the slopes say of them."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 83)).astype(np.float32).cumsum(0).cumsum(1)
    x, y = (np.diff(truth, axis=axis, append=np.take(truth, [-1], axis)) for axis in (1, 0))
    np.testing.assert_allclose(merge_bands(truth, x, y, 10.0), truth, atol=1e-3)
    ramp = np.tile(np.linspace(0, 1, 83, dtype=np.float32), (60, 1))
    flat = merge_bands(ramp, np.zeros_like(ramp), np.zeros_like(ramp), 2000.0)
    assert np.ptp(flat) < 0.02, "waves shorter than asked follow the slopes"
    kept = merge_bands(ramp, np.zeros_like(ramp), np.zeros_like(ramp), 4.0)
    assert np.abs(kept - ramp).mean() < 0.01, "longer ones do not"


def test_tiles_cover_the_map_and_overlap_by_a_quarter() -> None:
    for width, height in ((300, 200), (64, 48), (65, 300)):
        covered = np.zeros((height, width), int)
        tiles = tiles_of(width, height, 64, 48)
        for tile in tiles:
            covered[tile.window] += 1
        assert covered.min() == 1
        starts = sorted({tile.left for tile in tiles})
        assert all(b - a <= 48 for a, b in pairwise(starts))


def test_levels_double_up_to_the_smallest_tile() -> None:
    assert level_sizes(6000, 4000, 288, 750) == [(288, 192), (576, 384), (1152, 768), (2304, 1536)]
    assert level_sizes(640, 480, 288, 640) == [(288, 216)]
    assert level_sizes(200, 100, 288, 64) == [(200, 100)], "nothing is enlarged"


@pytest.mark.parametrize(
    ("tiles", "processing_res", "reason"),
    [
        ("some", None, "--tiles 'some'; allowed: off, auto, or the longer side of a tile"),
        ("12", None, "--tiles '12'; allowed: off, auto, or .* 64 to 65536"),
        ("auto", 0, "--processing-res 0"),
        ("512", 0, "--processing-res 0"),
    ],
)
def test_tiles_that_cannot_be_are_refused_before_anything(tiles: str, processing_res: int | None, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        check_model("nano", options=ModelOptions(tiles=tiles, processing_res=processing_res))


@pytest.mark.parametrize("tiles", ["auto", "300", "512"])
def test_calls_are_told_before(photo: NDArray[np.uint8], tiles: str) -> None:
    model = Shortsighted()
    noise = np.random.default_rng(0).integers(0, 255, photo.shape, np.uint8)  # no part is without texture
    TiledModel(model, EDGE, tiles).predict(noise)
    assert len(model.calls) == network_calls(tiles, EDGE, *noise.shape[1::-1])
    assert network_calls("off", EDGE, *noise.shape[1::-1]) == 1


def test_a_photo_smaller_than_a_tile_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"--tiles 513: desk.jpg has 512x384 pixels and is .* tile; .* 64 to 512"):
        check_tile_fits("513", (512, 384), 0, "desk.jpg")
    reduced = r"desk.jpg has 512x384 pixels with --max-size 512 \(4096x3072 without: --max-size 0\)"
    with pytest.raises(InputError, match=reduced):
        check_tile_fits("513", (4096, 3072), 512, "desk.jpg")
    for tiles in ("512", "auto", "off"):
        check_tile_fits(tiles, (512, 384), 0, "desk.jpg")


@pytest.mark.parametrize("tiles", ["auto", "64"])
def test_small_photos_are_taken_whole(photo: NDArray[np.uint8], tiles: str) -> None:
    model = Shortsighted()
    TiledModel(model, EDGE, tiles).predict(photo[:40, :60])
    assert model.calls == [(60, 40)]


def test_the_registry_hands_out_tiles(photo: NDArray[np.uint8]) -> None:
    whole, tiled = (load_model("nano", device="cpu", tiles=tiles).predict(photo) for tiles in ("off", "256"))
    assert whole.depth is not None
    assert tiled.depth is not None
    assert np.abs(whole.depth.values - tiled.depth.values).max() > 0.01


def test_merged_tiles_have_edges_where_the_photo_has_them() -> None:
    """A step of brightness between columns 279 and 280, of which the network sees 64 columns of 600."""
    noise = np.random.default_rng(0).integers(0, 20, (450, 600, 3))
    photo = (np.where(np.arange(600) < 280, 20, 200)[None, :, None] + noise).astype(np.uint8)
    steps = []
    for sharpens in (False, True):
        depth = TiledModel(Blurred(), EDGE, "150", sharpens).predict(photo).depth
        assert depth is not None
        steps.append(np.diff(depth.values[100:-100], axis=1))
    blurred, sharp = steps
    assert blurred.max() < 0.1, "a ramp"
    assert sharp[:, 279].min() > 0.3
    assert np.delete(sharp, 279, axis=1).max() < 0.2


class Blurred:
    """Brightness as disparity, blurred by two pixels of a network that works at ``EDGE``."""

    name, tasks, batch_size = "blurred", ("depth", "normal"), 1

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        height, width = rgb.shape[:2]
        scale = EDGE / max(height, width)
        small = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        values = cv2.GaussianBlur(small.mean(-1).astype(np.float32) / 255, (0, 0), 2)
        large = np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        everywhere = np.ones(large.shape, bool)
        normals = NormalMap(np.tile(FLAT, (height, width, 1)), everywhere)
        return Prediction(DepthMap(large, everywhere, DepthKind.AFFINE_DISPARITY), normals, {})

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        return [self.predict(image) for image in images]
