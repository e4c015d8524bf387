"""Normal maps as PNG: round trip, unknown pixels, and files that are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg, normalized
from lotus_recon.io.normal_maps import decode_normals, read_normals_png, write_normals_png


@pytest.mark.parametrize(("bits", "max_error_deg"), [(8, 0.4), (16, 0.002)])
def test_round_trip(tmp_path: Path, bits: int, max_error_deg: float) -> None:
    random = np.random.default_rng(0)
    normals = normalized(random.normal(size=(40, 30, 3))).astype(np.float32)
    valid = random.random((40, 30)) > 0.2
    write_normals_png(tmp_path / "n.png", normals, valid, bits)
    read, known = read_normals_png(tmp_path / "n.png")
    np.testing.assert_array_equal(known, valid)
    assert angle_deg(read, normals)[valid].max() < max_error_deg
    np.testing.assert_allclose(np.linalg.norm(read[valid], axis=-1), 1, atol=1e-6)
    assert not read[~valid].any()


def test_red_is_x(tmp_path: Path) -> None:
    write_normals_png(tmp_path / "n.png", np.array([[[1.0, 0, 0]]]), np.array([[True]]), 8)
    bgr = cv2.imread(str(tmp_path / "n.png"))
    assert bgr is not None
    assert bgr[0, 0].tolist() == [128, 128, 255]


def test_grey_and_black_have_no_direction() -> None:
    _, known = decode_normals(np.array([[[127, 128, 127], [0, 0, 0], [128, 128, 255]]], np.uint8))
    np.testing.assert_array_equal(known, [[False, False, True]])


def test_files_that_are_no_normals(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((20, 20), np.uint8))
    for name in ("grey.png", "none.png"):
        with pytest.raises(InputError, match=name):
            read_normals_png(tmp_path / name)
