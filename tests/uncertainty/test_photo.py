"""Error bars of single photos: what they are made from, and that they say where they come from."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.io.maps import load_arrays
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Prediction
from lotus_recon.uncertainty import photo
from lotus_recon.uncertainty.conformal import ROOMS
from lotus_recon.uncertainty.results import UncertaintyResult
from lotus_recon.uncertainty.scale import learnt


def stairs(height: int, width: int) -> NDArray[np.float32]:
    """(H, W) depth: 2 on the left, 3 on the right, in parts that lean a little."""
    col = np.arange(width) / width
    return np.broadcast_to(np.where(col < 0.5, 2.0, 3.0) + 0.3 * col, (height, width)).astype(np.float32)


def prediction(kind: DepthKind, height: int = 60, width: int = 80, spread: float | None = None) -> Prediction:
    """Of that depth: disparity times 4, plus 1, or depth times 0.5."""
    depth = stairs(height, width)
    values = 4 / depth + 1 if kind is DepthKind.AFFINE_DISPARITY else depth * 0.5
    valid = np.ones(depth.shape, bool)
    normals = np.broadcast_to(np.array([0, 0, -1], np.float32), (height, width, 3))
    sigma = None if spread is None else np.full(depth.shape, spread, np.float32)
    return Prediction(DepthMap(values, valid, kind), NormalMap(normals, valid), {}, sigma)


def depth_of(height: int = 60, width: int = 80) -> DepthMap:
    valid = np.ones((height, width), bool)
    valid[: height // 6] = False
    return DepthMap(stairs(height, width), valid, DepthKind.SCALE_FREE)


@pytest.mark.parametrize("kind", [DepthKind.AFFINE_DISPARITY, DepthKind.AFFINE, DepthKind.SCALE_FREE])
def test_the_spread_of_an_ensemble_becomes_one_of_depth(kind: DepthKind) -> None:
    """0.02 in 4 / z + 1 is 0.005 z of z; 0.02 in 0.5 z is 0.04 / z of z."""
    camera, depth = Camera.from_fov_deg(60, 80, 60), depth_of()
    found = np.exp(photo.predictors_of(prediction(kind, spread=0.02), depth, camera)["spread"])
    expected = 0.005 * depth.values if kind is DepthKind.AFFINE_DISPARITY else 0.04 / depth.values
    assert found[depth.valid] == pytest.approx(expected[depth.valid], rel=1e-3)


def test_every_pixel_with_depth_gets_a_bar_that_says_where_it_comes_from(tmp_path: Path) -> None:
    depth = depth_of()
    result = photo.run(
        "a.png", prediction(DepthKind.AFFINE_DISPARITY), depth, Camera.from_fov_deg(60, 80, 60), tmp_path
    )
    sigma = load_arrays(tmp_path / photo.FILE)["sigma"]
    assert ((sigma > 0) == depth.valid).all()
    assert sigma[30, 40] > 1.2 * sigma[30, 10], "depth at the step is worse than depth beside it"
    assert result.calibration.source == ROOMS
    assert UncertaintyResult.load(tmp_path).views == result.views
    assert result.views[0].median_sigma == pytest.approx(np.median(sigma[depth.valid]))


def test_a_large_photo_is_judged_as_its_reduction_is(tmp_path: Path) -> None:
    """At any size: predictors are shares of the diagonal."""
    means = []
    for width in (960, 2880):
        height = width * 3 // 4
        folder = tmp_path / str(width)
        folder.mkdir()
        camera = Camera.from_fov_deg(60, width, height)
        predicted = prediction(DepthKind.AFFINE_DISPARITY, height, width)
        photo.run("a.png", predicted, depth_of(height, width), camera, folder)
        sigma = load_arrays(folder / photo.FILE)["sigma"]
        assert sigma.shape == (height, width)
        means.append(sigma[height // 4 :, : width // 4].mean())
    assert means[1] == pytest.approx(means[0], rel=0.05)


@pytest.mark.parametrize("optional", [c for n in range(3) for c in itertools.combinations(("bent", "spread"), n)])
def test_every_set_of_predictors_of_a_photo_has_a_scale(optional: tuple[str, ...]) -> None:
    assert learnt("photo", ["edge", "slant", *optional]).rooms.errors > 10_000
