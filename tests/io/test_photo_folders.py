"""Which files of a folder are photos, and which masks belong to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.images import expand_photos, is_cut_out, list_photos, read_mask
from lotus_recon.io.photo_checks import mask_files, mask_of
from tests.io.test_images import exif_with, picture, save

__all__ = ["picture"]  # a fixture


def cut_out(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA, opaque in columns 8 to 23 only; not black below what is transparent."""
    alpha = np.zeros(picture.shape[:2], np.uint8)
    alpha[:, 8:24] = 255
    return np.dstack([np.maximum(picture, 9), alpha])


def test_a_cut_out_is_a_mask(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    expected = cut_out(picture)[..., 3] > 0
    path = save(tmp_path / "a.png", cut_out(picture))
    assert is_cut_out(path)
    assert np.array_equal(read_mask(path, 32, 24), expected)
    palette = Image.fromarray(picture).quantize(16)
    palette.save(tmp_path / "p.png", transparency=3)
    assert np.array_equal(read_mask(tmp_path / "p.png", 32, 24), np.asarray(palette) != 3)
    opaque = save(tmp_path / "o.png", np.dstack([picture * 0, np.full((24, 32), 255, np.uint8)]))
    assert not is_cut_out(opaque)
    assert not read_mask(opaque, 32, 24).any(), "an opaque alpha says nothing: black is not used"


def test_which_mask_counts(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    for name in "abcd":
        save(tmp_path / f"{name}.png", cut_out(picture) if name != "d" else picture)
    in_folder, named = save(tmp_path / "masks/a.png", picture), save(tmp_path / "other.png.mask/b.png", picture)
    photos = [photo for photo in list_photos(tmp_path) if "/" not in photo.name]
    found = mask_files(photos, tmp_path / "masks", {"a.png": named, "b.png": named})
    assert found == {"a.png": in_folder, "b.png": named, "c.png": tmp_path / "c.png"}
    assert [mask_of(photo, None) for photo in photos] == [
        in_folder, tmp_path / "b.png", tmp_path / "c.png", None
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no mask of any photo"):
        mask_files(photos, tmp_path / "empty", {})


def test_a_mask_that_exif_does_not_turn_with_its_photo_is_told(
    tmp_path: Path, picture: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "a.png", picture, exif=exif_with(3))
    save(tmp_path / "masks/a.png", picture)
    mask_files(list_photos(tmp_path), tmp_path / "masks")
    assert "turns or mirrors 1 photos and not their masks" in caplog.text


def test_links_to_folders_are_followed_once(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    save(tmp_path / "elsewhere/day 1/b.png", picture)
    save(tmp_path / "root/a.png", picture)
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/linked again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/broken").symlink_to(tmp_path / "gone")
    assert [photo.name for photo in list_photos(tmp_path / "root")] == ["a.png", "linked/day 1/b.png"]


@pytest.mark.parametrize(
    "folder", ["@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "@Recycle", ".thumbnails", "lost+found"]
)
def test_folders_that_no_person_made_hold_no_photos(tmp_path: Path, picture: NDArray[np.uint8], folder: str) -> None:
    save(tmp_path / "a.png", picture)
    save(tmp_path / folder / "a.png/SYNOPHOTO_THUMB_M.jpg", picture)
    save(tmp_path / "day" / folder / "b.jpg", picture)
    assert [photo.name for photo in list_photos(tmp_path)] == ["a.png"]
    assert [photo.name for photo in expand_photos([f"{tmp_path}/*"])] == ["a.png"]


def test_a_pattern_leaves_masks_out(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    save(tmp_path / "a.png", picture)
    save(tmp_path / "masks/a.png", picture)
    assert [photo.name for photo in expand_photos([f"{tmp_path}/*"])] == ["a.png"]


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """As older cameras and Windows archives write them; no JSON could hold it."""
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    os.rename(tmp_path / "a.jpg", path)
    with pytest.raises(InputError, match=r"caf\\xe9\.jpg: its name is not UTF-8"):
        list_photos(tmp_path)
