"""The reader of photos: every format gives the same upright picture, and every broken file a message with its name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.images import (
    expand_photos,
    list_photos,
    read_info,
    read_mask,
    read_png16,
    read_rgb,
    resize_rgb,
    verify,
    write_png,
)

ORIENTATION, FOCAL_35MM, EXIF_IFD = 0x0112, 0xA405, 0x8769


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """(24, 32, 3): red grows to the right, green downwards, one blue corner; smooth, so that JPEG keeps it."""
    y, x = np.mgrid[:24, :32]
    rgb = np.stack([x * 7, y * 9, np.full_like(x, 30)], axis=-1).astype(np.uint8)
    rgb[:8, :8, 2] = 220
    return rgb


def save(path: Path, rgb: NDArray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **options)
    return path


def exif_with(orientation: int | None = None, focal_35mm: float | None = None) -> Image.Exif:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    if focal_35mm is not None:
        exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = focal_35mm
    return exif


def assert_near(a: NDArray, b: NDArray, levels: float) -> None:
    assert a.shape == b.shape
    assert a.dtype == np.uint8
    assert np.abs(a.astype(int) - b).mean() < levels


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.PNG", "a.tif", "a.TiFF", "a.webp", "a.heic", "a.HEIF"])
def test_every_format_and_any_case(tmp_path: Path, picture: NDArray[np.uint8], name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {"quality": 95} if "." in name else {}
    path = save(tmp_path / name, picture, **options)
    verify(path)
    assert_near(read_rgb(path), picture, 6)
    assert (read_info(path).width, read_info(path).height) == (32, 24)
    assert [photo.name for photo in list_photos(tmp_path)] == [name]


# What the camera stored when the upright picture is ``picture``, by EXIF orientation (EXIF 2.32, table 6).
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_is_applied_once(
    tmp_path: Path, picture: NDArray[np.uint8], orientation: int, suffix: str
) -> None:
    stored = np.ascontiguousarray(STORED[orientation](picture))
    path = save(tmp_path / f"a.{suffix}", stored, exif=exif_with(orientation), quality=95)
    assert_near(read_rgb(path), picture, 6)
    info = read_info(path)
    assert (info.width, info.height) == (32, 24)


def test_rotated_heic_is_turned_once(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    # The writer stores the rotation both in EXIF and as a property of the image; only one of them may count.
    stored = np.ascontiguousarray(np.rot90(picture, 1))
    path = save(tmp_path / "a.heic", stored, exif=exif_with(6).tobytes(), quality=95)
    assert_near(read_rgb(path), picture, 8)
    assert (read_info(path).width, read_info(path).height) == (32, 24)


def test_pixels_of_another_size_than_the_header_says_are_refused(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "a.heic", picture, quality=95)
    content = path.read_bytes()
    at = content.index(b"clap") + 20  # width, height, horizontal offset, as fractions: the coded pixels are 64x64
    assert struct.unpack(">i", content[at : at + 4]) == (32 - 64,)
    path.write_bytes(content[:at] + struct.pack(">I", 0xEFFFFFE0) + content[at + 4 :])
    assert read_info(path).size == (32, 24)
    for read in (verify, read_rgb):
        with pytest.raises(InputError, match=r"a\.heic"):
            read(path)


def test_exif_that_breaks_off_is_named(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "a.png", picture, exif=b"Exif\0\0MM\0*\0\0")
    with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
        read_info(path)


def test_focal_length_and_camera(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    exif = exif_with(focal_35mm=28)
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    info = read_info(save(tmp_path / "a.jpg", picture, exif=exif))
    assert (info.focal_35mm, info.camera_model) == (28.0, "Maker Model 1")
    assert read_info(save(tmp_path / "b.jpg", picture, exif=exif_with(focal_35mm=0))).focal_35mm is None
    assert read_info(save(tmp_path / "c.jpg", picture)).focal_35mm is None


def test_sixteen_bit_grey_and_colour(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    wide = picture.astype(np.uint16) * 257
    write_png(tmp_path / "grey.png", wide[..., 0])
    write_png(tmp_path / "rgb.png", wide)
    cv2.imwrite(str(tmp_path / "grey.tif"), wide[..., 0])
    cv2.imwrite(str(tmp_path / "rgb.tif"), wide[..., ::-1])
    for suffix in ("png", "tif"):
        assert np.array_equal(read_rgb(tmp_path / f"grey.{suffix}"), picture[..., :1].repeat(3, axis=-1))
        assert np.array_equal(read_rgb(tmp_path / f"rgb.{suffix}"), picture)
        verify(tmp_path / f"rgb.{suffix}")
        assert read_info(tmp_path / f"rgb.{suffix}").width == 32
    assert np.array_equal(read_png16(tmp_path / "rgb.png"), wide)
    assert np.array_equal(read_png16(tmp_path / "grey.png"), wide[..., 0])
    with pytest.raises(InputError, match="16-bit"):
        read_png16(save(tmp_path / "eight.png", picture))


def test_grey_palette_and_alpha(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    grey = picture[..., 0]
    assert np.array_equal(read_rgb(save(tmp_path / "grey.png", grey)), grey[..., None].repeat(3, axis=-1))
    alpha = np.zeros((24, 32), np.uint8)
    alpha[:, 16:] = 255
    expected = picture.copy()
    expected[:, :16] = 255  # over white
    assert np.array_equal(read_rgb(save(tmp_path / "rgba.png", np.dstack([picture, alpha]))), expected)
    grey_alpha = read_rgb(save(tmp_path / "la.png", np.dstack([grey, alpha])))
    assert np.array_equal(grey_alpha[:, :16], np.full((24, 16, 3), 255))
    assert np.array_equal(grey_alpha[:, 16:, 1], grey[:, 16:])
    palette = Image.fromarray(picture).quantize(256)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_rgb(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


def test_floating_point_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.zeros((20, 20), np.float32))
    with pytest.raises(InputError, match="floating-point"):
        read_rgb(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "heic"])
def test_half_a_file_of_any_format_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (read_rgb, verify):
        with pytest.raises(InputError, match=r"a\."):
            read(path)


def broken_files(folder: Path, picture: NDArray[np.uint8]) -> dict[str, Path]:
    """Files that cannot be read, by a word that the message must hold."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = save(folder / "whole.jpg", noise, quality=95).read_bytes()
    files = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "not an image": b"only words\n" * 20,
    }
    paths = {}
    for number, (word, content) in enumerate(files.items()):
        paths[word] = folder / f"bad{number}.jpg"
        paths[word].write_bytes(content)
    paths["1x1"] = save(folder / "tiny.png", picture[:1, :1])
    return paths


@pytest.mark.parametrize("word", ["truncated", "empty", "not an image", "1x1"])
def test_broken_files_are_named(tmp_path: Path, picture: NDArray[np.uint8], word: str) -> None:
    path = broken_files(tmp_path, picture)[word]
    for read in (read_rgb, verify):
        with pytest.raises(InputError) as error:
            read(path)
        assert word in str(error.value)
        assert str(path) in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        read_rgb(tmp_path / "missing.jpg")


def test_a_hundred_megapixels_are_refused_from_the_header(tmp_path: Path) -> None:
    """The file claims 10000 x 10000 pixels but holds none: whoever decoded it would say that it is broken."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    for read in (read_info, verify, read_rgb):
        with pytest.raises(InputError, match="100 megapixels; at most 80"):
            read(path)


def test_folder_listing(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    for name in ("b/1.jpg", "a/1.png", "2.JPG", ".hidden.jpg", ".cache/3.jpg", "masks/2.png"):
        save(tmp_path / name, picture)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "folder.jpg").mkdir()
    photos = list_photos(tmp_path, exclude=[tmp_path / "masks"])
    assert [(photo.name, photo.stem) for photo in photos] == [("2.JPG", "2"), ("a/1.png", "a/1"), ("b/1.jpg", "b/1")]


def test_folders_that_cannot_be_used(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos in"):
        list_photos(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        list_photos(tmp_path / "missing")
    with pytest.raises(InputError, match="not a folder"):
        list_photos(save(tmp_path / "a.jpg", picture))


def test_photos_that_differ_only_in_suffix(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    first, second = save(tmp_path / "a.jpg", picture), save(tmp_path / "a.PNG", picture)
    with pytest.raises(InputError) as error:
        list_photos(tmp_path)
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)
    with pytest.raises(InputError, match="differ at most in suffix"):
        expand_photos([str(first), str(second)])


def test_spaces_and_other_letters(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "Fotos vom Fluß" / "größe 日本 1.png", picture)
    (photo,) = list_photos(tmp_path)
    assert photo.name == "Fotos vom Fluß/größe 日本 1.png"
    assert np.array_equal(read_rgb(photo.path), picture)
    write_png(path.with_name("ü 2.png"), picture.astype(np.uint16))
    assert read_png16(path.with_name("ü 2.png")).shape == picture.shape


def test_files_folders_and_patterns(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    for name in ("a/1.png", "b/1.jpg", "b/c/2.jpg", "d [x]/3.jpg"):
        save(tmp_path / name, picture)

    def names(*arguments: str) -> list[str]:
        return [photo.name for photo in expand_photos([str(tmp_path / argument) for argument in arguments])]

    assert names("b") == ["1.jpg", "c/2.jpg"]
    assert names("b/c/2.jpg") == ["2.jpg"]
    assert names("*/1.*") == ["a/1.png", "b/1.jpg"]
    assert names("**/2.jpg") == ["b/c/2.jpg"]
    assert names("b/*") == ["1.jpg", "c/2.jpg"]
    assert names("d [x]") == ["3.jpg"], "a name that exists is no pattern"
    assert names("b/1.jpg", "b/1.jpg") == ["1.jpg"], "named twice, once in the list"
    with pytest.raises(InputError, match="no photo matches"):
        names("*.bmp")


def test_mask(tmp_path: Path) -> None:
    values = np.zeros((20, 30), np.uint8)
    values[5:, 10:] = 1
    path = save(tmp_path / "a.png", values)
    assert np.array_equal(read_mask(path, 30, 20), values > 0)
    with pytest.raises(InputError, match="30x20 pixels, its photo 20x30"):
        read_mask(path, 20, 30)


def test_resize_averages_to_shrink(picture: NDArray[np.uint8]) -> None:
    half = resize_rgb(picture, 16, 12)
    expected = picture.reshape(12, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(half - expected).max() <= 0.5
    assert resize_rgb(picture, 32, 24) is picture
    assert resize_rgb(picture, 64, 48).shape == (48, 64, 3)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_a_sixteen_bit_file(
    tmp_path: Path, picture: NDArray[np.uint8], bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    most = 2**bits - 1
    values = np.round(picture / 255 * most).astype(np.uint16)
    values[0, 0] = most
    expected = picture.copy()
    expected[0, 0] = 255
    write_png(tmp_path / "rgb.png", values)
    write_png(tmp_path / "grey.png", values[..., 0])
    cv2.imwrite(str(tmp_path / "rgb.tif"), values[..., ::-1])
    cv2.imwrite(str(tmp_path / "grey.tif"), values[..., 0])
    for suffix in ("png", "tif"):
        assert_near(read_rgb(tmp_path / f"rgb.{suffix}"), expected, 0.5)
        assert_near(read_rgb(tmp_path / f"grey.{suffix}"), expected[..., :1].repeat(3, axis=-1), 0.5)
    assert caplog.text.count(f"those of a {bits}-bit sensor") == 4
    read_rgb(tmp_path / "rgb.png")
    assert caplog.text.count("sensor") == 4, "said once"


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_fewer_bits_beside_an_alpha_channel_that_has_all(
    tmp_path: Path, picture: NDArray[np.uint8], suffix: str
) -> None:
    values = np.round(picture / 255 * 4095).astype(np.uint16)
    alpha = np.full(values.shape[:2], 65535, np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), np.dstack([values[..., ::-1], alpha]))
    assert_near(read_rgb(tmp_path / f"a.{suffix}"), picture, 0.5)


def test_pictures_of_kinds_that_are_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.bmp", "notes.txt"):
        (tmp_path / name).touch()
    assert [photo.name for photo in list_photos(tmp_path)] == ["a.png"]
    assert "b.bmp is left out: photos end in .heic" in caplog.text
    caplog.clear()
    (tmp_path / "c.gif").touch()
    list_photos(tmp_path)
    assert "and 1 more are left out" in caplog.text
