"""Error bars of single photos: what they are made from, and that they say where they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.io.maps import load_arrays
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap
from lotus_recon.uncertainty import photo
from lotus_recon.uncertainty.conformal import ROOMS
from lotus_recon.uncertainty.results import UncertaintyResult
from lotus_recon.uncertainty.scale import learnt


def stairs(height: int, width: int) -> NDArray[np.float32]:
    """(H, W) depth: 2 on the left, 3 on the right, in parts that lean a little."""
    col = np.arange(width) / width
    return np.broadcast_to(np.where(col < 0.5, 2.0, 3.0) + 0.3 * col, (height, width)).astype(np.float32)


def facing(height: int = 60, width: int = 80) -> NormalMap:
    """All towards the camera."""
    values = np.broadcast_to(np.array([0, 0, -1], np.float32), (height, width, 3))
    return NormalMap(values, np.ones((height, width), bool))


def depth_of(height: int = 60, width: int = 80) -> DepthMap:
    valid = np.ones((height, width), bool)
    valid[: height // 6] = False
    return DepthMap(stairs(height, width), valid, DepthKind.SCALE_FREE)


def test_every_pixel_with_depth_gets_a_bar_that_says_where_it_comes_from(tmp_path: Path) -> None:
    depth = depth_of()
    result = photo.run("a.png", depth, facing(), Camera.from_fov_deg(60, 80, 60), tmp_path)
    sigma = load_arrays(tmp_path / photo.FILE)["sigma"]
    assert ((sigma > 0) == depth.valid).all()
    assert sigma[30, 40] > 1.2 * sigma[30, 60], "depth at the step is worse than depth beside it"
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
        photo.run("a.png", depth_of(height, width), facing(height, width), camera, folder)
        sigma = load_arrays(folder / photo.FILE)["sigma"]
        assert sigma.shape == (height, width)
        means.append(sigma[height // 4 :, : width // 4].mean())
    assert means[1] == pytest.approx(means[0], rel=0.05)


@pytest.mark.parametrize("optional", [(), ("bent",)])
def test_every_set_of_predictors_of_a_photo_has_a_scale(optional: tuple[str, ...]) -> None:
    assert learnt("photo", ["edge", "slant", "middle", "empty", *optional]).rooms.errors > 10_000
