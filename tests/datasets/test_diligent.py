"""Normal maps of objects in the layout in which they are distributed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lotus_recon.datasets.diligent import read_object
from lotus_recon.errors import InputError

UP_RIGHT = np.array([0.6, 0.48, 0.64])  # x right, y up, z to the camera


def write_object(folder: Path) -> None:
    folder.mkdir()
    rgb = np.zeros((20, 24, 3))
    rgb[4:12, 5:15] = UP_RIGHT
    pixels = np.round((rgb + 1) / 2 * 65535).astype(np.uint16)
    cv2.imwrite(str(folder / "normal_map.png"), pixels[..., ::-1])
    mask = np.zeros((20, 24), np.uint8)
    mask[4:12, 5:15] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    np.savetxt(folder / "K.txt", np.array([[100.0, 0, 2], [0, 101, 1.5], [0, 0, 1]]))
    np.savez(folder / "depth_gt.npz", depth_gt=np.where(mask > 0, 700.0, np.nan).astype(np.float32))


def test_axes_bits_and_pixel_centres(tmp_path: Path) -> None:
    write_object(tmp_path / "pot")
    found = read_object(tmp_path / "pot")
    assert found.name == "pot"
    assert found.mask.sum() == 80
    assert np.abs(found.normals[found.mask] - np.array([0.6, -0.48, -0.64])).max() < 3e-5
    assert found.K is not None
    np.testing.assert_allclose(found.K, np.array([[100.0, 0, 2.5], [0, 101, 2], [0, 0, 1]]))
    assert found.depth is not None
    np.testing.assert_array_equal(np.isfinite(found.depth), found.mask)
    assert np.nanmax(found.depth) == 700


def test_without_camera_and_truth(tmp_path: Path) -> None:
    write_object(tmp_path / "vase")
    (tmp_path / "vase/K.txt").unlink()
    (tmp_path / "vase/depth_gt.npz").unlink()
    found = read_object(tmp_path / "vase")
    assert found.K is None
    assert found.depth is None


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no normal_map\.png"):
        read_object(tmp_path)
    write_object(tmp_path / "bear")
    (tmp_path / "bear/K.txt").write_text("1 2\n3 4\n")
    with pytest.raises(InputError, match=r"K\.txt holds \(2, 2\)"):
        read_object(tmp_path / "bear")
    (tmp_path / "bear/K.txt").write_text("one two")
    with pytest.raises(InputError, match=r"K\.txt is not a table"):
        read_object(tmp_path / "bear")
    (tmp_path / "bear/K.txt").unlink()
    np.savez(tmp_path / "bear/depth_gt.npz", depth=np.ones((20, 24)))
    with pytest.raises(InputError, match="has no depth_gt"):
        read_object(tmp_path / "bear")
