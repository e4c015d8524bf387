"""Pictures of maps: the colours mean what the captions say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.visualization import (
    colorize_confidence,
    colorize_depth,
    colorize_normals,
    contact_sheet,
    depth_limits,
    fitted,
    side_by_side,
    stacked_rows,
)
from lotus_recon.types import DepthKind, DepthMap, NormalMap

RAMP = np.tile(np.linspace(1, 4, 64, dtype=np.float32), (8, 1))  # depth grows to the right
ALL = np.ones((8, 64), bool)


def turbo(level: int) -> list[int]:
    bgr = np.asarray(cv2.applyColorMap(np.array([[level]], np.uint8), cv2.COLORMAP_TURBO))
    return [int(value) for value in bgr[0, 0, ::-1]]


@pytest.mark.parametrize("kind", list(DepthKind))
def test_near_is_red_and_far_is_blue_for_every_kind(kind: DepthKind) -> None:
    values = 1 / RAMP if kind is DepthKind.AFFINE_DISPARITY else RAMP
    picture = colorize_depth(DepthMap(values.astype(np.float32), ALL, kind)).astype(int)
    near, far = picture[0, 0], picture[0, -1]
    assert near.tolist() == turbo(255)
    assert far.tolist() == turbo(0)
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_limits_make_maps_comparable() -> None:
    first = colorize_depth(DepthMap(RAMP, ALL, DepthKind.SCENE), limits=(0, 8))
    shifted = colorize_depth(DepthMap(RAMP + 1, ALL, DepthKind.SCENE), limits=(1, 9))
    assert np.array_equal(first, shifted)
    assert not np.array_equal(first, colorize_depth(DepthMap(RAMP, ALL, DepthKind.SCENE)))


def test_limits_are_percentiles_of_valid_pixels_of_all_maps() -> None:
    values = RAMP.copy()
    values[:, 0] = 1000
    valid = ALL.copy()
    valid[:, 0] = False
    low, high = depth_limits([DepthMap(values, valid, DepthKind.SCENE), DepthMap(RAMP, ALL, DepthKind.SCENE)])
    pooled = np.concatenate([values[valid], RAMP.ravel()])
    assert (low, high) == pytest.approx(tuple(np.percentile(pooled, (1, 99))))
    assert depth_limits([]) == (0, 1)


def test_constant_and_missing_values() -> None:
    valid = ALL.copy()
    valid[2:4, 5] = False
    values = np.full((8, 64), 2.0, np.float32)
    values[~valid] = np.nan
    picture = colorize_depth(DepthMap(values, valid, DepthKind.SCENE))
    assert np.unique(picture[valid], axis=0).shape[0] == 1
    assert (picture[~valid] == 48).all()
    empty = colorize_depth(DepthMap(np.zeros((8, 64), np.float32), ~ALL, DepthKind.SCENE))
    assert (empty == 48).all()


def test_normals_are_shown_with_x_right_y_up_z_to_the_camera() -> None:
    axes = np.array([[[0, 0, -1], [1, 0, 0], [0, -1, 0], [0, 1, 0]]], np.float32)
    valid = np.ones((1, 4), bool)
    facing, right, up, down = colorize_normals(NormalMap(axes, valid))[0].tolist()
    assert facing == [128, 128, 255]
    assert right == [255, 128, 128]
    assert up == [128, 255, 128]
    assert down == [128, 0, 128]
    assert (colorize_normals(NormalMap(axes, ~valid)) == 48).all()


def test_confidence_runs_from_violet_to_yellow() -> None:
    picture = colorize_confidence(np.array([[0.0, 1.0, 7.0, 0.5]]), np.array([[True, True, True, False]]))[0].astype(
        int
    )
    assert picture[0, 2] > picture[0, 1]
    assert picture[1, :2].min() > 200
    assert picture[2].tolist() == picture[1].tolist(), "clipped"
    assert picture[3].tolist() == [48, 48, 48]


def plain(height: int, width: int, level: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def test_fitted_only_reduces() -> None:
    assert fitted(plain(30, 40, 9), 20).shape == (15, 20, 3)
    assert fitted(plain(30, 40, 9), 100).shape == (30, 40, 3)


def test_rows_keep_every_pixel() -> None:
    row = side_by_side([plain(5, 4, 10), plain(7, 3, 20)])
    assert row.shape == (7, 13, 3)
    assert (row[:5, :4] == 10).all()
    assert (row[:, 10:] == 20).all()
    assert (row[5:, :4] == 255).all()
    column = stacked_rows([plain(4, 5, 10), plain(3, 7, 20)])
    assert np.array_equal(column, np.swapaxes(row, 0, 1))


def test_contact_sheet() -> None:
    sheet = contact_sheet(
        [plain(30, 40, level) for level in (10, 20, 30)], ["größe", "b", ""], columns=2, cell_width=80
    )
    assert sheet.shape[1] == 80 + 6 + 80
    assert (sheet[:60, :80] == 10).all()
    assert (sheet[:60, 86:] == 20).all()
    assert (sheet[60:84, :80] < 128).any(), "the label"
    assert (sheet[-60:, :80] == 30).all()
    with pytest.raises(InputError, match="3 images, 1 labels"):
        contact_sheet([plain(3, 3, 1)] * 3, ["a"], 2)
    with pytest.raises(InputError, match="not 0 images"):
        contact_sheet([], [], 2)
