"""What cameras and their software write about a lens gives the angle of view that the camera has."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from lotus_recon.io.images import PhotoInfo, read_info, read_rgb

EXIF_IFD, XMP_TAG = 0x8769, 700
TAGS = {
    "FocalLength": 0x920A,
    "FocalLengthIn35mmFilm": 0xA405,
    "DigitalZoomRatio": 0xA404,
    "FocalPlaneXResolution": 0xA20E,
    "FocalPlaneYResolution": 0xA20F,
    "FocalPlaneResolutionUnit": 0xA210,
    "PixelXDimension": 0xA002,
    "PixelYDimension": 0xA003,
}


def rational(value: Any) -> Any:
    return (
        TiffImagePlugin.IFDRational(Fraction(str(value)).limit_denominator(10**6))
        if isinstance(value, float)
        else value
    )


def exif_of(tags: dict[str, Any], orientation: int | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({TAGS[name]: rational(value) for name, value in tags.items()})
    if orientation is not None:
        exif[0x0112] = orientation
    return exif


def xmp_of(inside: str, attributes: str = "") -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def info_of(path: Path, size: tuple[int, int], tags: dict[str, Any], **options: Any) -> PhotoInfo:
    Image.new("RGB", size).save(path, exif=exif_of(tags, options.pop("orientation", None)), **options)
    return read_info(path)


def diagonal_deg(focal_35mm: float | None) -> float:
    assert focal_35mm is not None
    return math.degrees(2 * math.atan(math.hypot(36, 24) / 2 / focal_35mm))


def sensor_deg(focal_mm: float, width_mm: float, height_mm: float) -> float:
    """Angle of view along the diagonal of a sensor: what the tags must give."""
    return math.degrees(2 * math.atan(math.hypot(width_mm, height_mm) / 2 / focal_mm))


# What the camera wrote, at a tenth of the size of its photos, and the true angle along the diagonal.
CANON_5D = {  # full frame, 36.0 x 24.0 mm as Canon counts the pixels
    "FocalLength": 50.0, "FocalPlaneXResolution": 4368000 / 1437, "FocalPlaneYResolution": 2912000 / 958,
    "FocalPlaneResolutionUnit": 2, "PixelXDimension": 4368, "PixelYDimension": 2912,
}  # fmt: skip
CANON_A80 = {  # 1/1.8 inch, 7.18 x 5.32 mm
    "FocalLength": 7.8125, "FocalPlaneXResolution": 2272000 / 280, "FocalPlaneYResolution": 1704000 / 210,
    "FocalPlaneResolutionUnit": 2, "PixelXDimension": 2272, "PixelYDimension": 1704,
}  # fmt: skip
MINOLTA_A1 = {  # 2/3 inch, 8.8 x 6.6 mm; the unit is the centimetre
    "FocalLength": 7.21875, "FocalPlaneXResolution": 2560 / 0.88, "FocalPlaneYResolution": 1920 / 0.66,
    "FocalPlaneResolutionUnit": 3, "PixelXDimension": 2560, "PixelYDimension": 1920,
}  # fmt: skip
IPHONE_12 = {"FocalLength": 4.2, "FocalLengthIn35mmFilm": 26, "PixelXDimension": 4032, "PixelYDimension": 3024}
IN_MILLIMETRES = {"FocalPlaneXResolution": 119.67, "FocalPlaneYResolution": 119.67, "FocalPlaneResolutionUnit": 4}
CAMERAS = [
    ("iPhone 12", (403, 302), IPHONE_12, 79.5),
    ("Nikon D90", (429, 285), {"FocalLength": 35.0, "FocalLengthIn35mmFilm": 52}, 45.2),
    ("Canon 5D", (437, 291), CANON_5D, sensor_deg(50, 36.5, 24.3)),
    ("Canon A80", (227, 170), CANON_A80, sensor_deg(7.8125, 7.18, 5.32)),
    ("Minolta A1", (256, 192), MINOLTA_A1, sensor_deg(7.21875, 8.8, 6.6)),
    ("in millimetres", (437, 291), {**CANON_5D, **IN_MILLIMETRES}, 47.3),
    ("without a unit: inches", (437, 291), {k: v for k, v in CANON_5D.items() if not k.endswith("Unit")}, 47.3),
    ("digital zoom", (437, 291), {**CANON_5D, "DigitalZoomRatio": 2.0}, sensor_deg(100, 36.5, 24.3)),
    ("upright after the fact", (291, 437), CANON_5D, sensor_deg(50, 36.5, 24.3)),
    ("GoPro Hero 8", (400, 300), {"FocalLengthIn35mmFilm": 15, "FocalLength": 3.0}, 110.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "size", "tags", "angle"), CAMERAS)
def test_angle_of_view_of_cameras(
    tmp_path: Path, name: str, size: tuple[int, int], tags: dict[str, Any], angle: float
) -> None:
    info = info_of(tmp_path / "a.jpg", size, tags)
    assert diagonal_deg(info.focal_35mm) == pytest.approx(angle, rel=0.015), name
    assert info.doubts == ()
    assert info.focal_source.startswith("EXIF (")


@pytest.mark.parametrize("value", [1, 4, 7, 3001, 65535])
def test_a_lens_that_there_is_not_is_ignored_with_a_word(tmp_path: Path, value: int) -> None:
    info = info_of(tmp_path / "a.jpg", (400, 300), {"FocalLengthIn35mmFilm": value})
    assert info.focal_35mm is None
    assert f"EXIF (35 mm equivalent) says {value} mm" in info.doubts[0]


def test_the_next_statement_counts_where_one_is_impossible(tmp_path: Path) -> None:
    info = info_of(tmp_path / "a.jpg", (437, 291), {**CANON_5D, "FocalLengthIn35mmFilm": 1})
    assert diagonal_deg(info.focal_35mm) == pytest.approx(47.3, rel=0.015)
    assert info.focal_source == "EXIF (focal length and sensor)"
    assert len(info.doubts) == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"FocalLengthIn35mmFilm": 0},
        {"FocalPlaneXResolution": 3000.0},
        {"FocalLength": 50.0, "FocalPlaneXResolution": 3000.0, "FocalPlaneYResolution": 1500.0},
        {"FocalLength": 50.0, "FocalPlaneXResolution": 3000.0, "FocalPlaneResolutionUnit": 9},
    ],
)
def test_what_tells_no_focal_length(tmp_path: Path, tags: dict[str, Any]) -> None:
    assert info_of(tmp_path / "a.jpg", (400, 300), tags).focal_35mm is None


def test_focal_length_without_a_sensor_is_said_to_be_of_no_use(tmp_path: Path) -> None:
    info = info_of(tmp_path / "a.jpg", (400, 300), {"FocalLength": 4.2})
    assert info.focal_35mm is None
    assert info.doubts == ("FocalLength 4.2 mm is of no use without the size of the sensor",)


def test_two_statements_that_differ_are_doubted(tmp_path: Path) -> None:
    info = info_of(tmp_path / "a.jpg", (437, 291), {**CANON_5D, "FocalLengthIn35mmFilm": 80})
    assert info.focal_35mm == pytest.approx(80)
    assert "focal length and sensor) 49." in info.doubts[0]


ELEMENT = "<exif:FocalLengthIn35mmFilm>24</exif:FocalLengthIn35mmFilm>"
SENSOR = 'exif:FocalPlaneXResolution="4145/10" exif:FocalPlaneResolutionUnit="4"'
SIZE = 'exif:PixelXDimension="5472" exif:PixelYDimension="3648"'
XMP = [
    (xmp_of(ELEMENT), 24.0),
    (xmp_of("", "exif:FocalLengthIn35mmFilm='24'"), 24.0),
    (xmp_of("", 'xcr:FocalLength35mm="31.5"'), 31.5),
    # Phantom 4 Pro: 3666.67 px for 5472x3648; these photos have a tenth of that.
    (xmp_of("", 'drone-dji:CalibratedFocalLength="366.667"'), 366.667 / math.hypot(547, 365) * math.hypot(36, 24)),
    (xmp_of("", f'exif:FocalLength="8800/1000" {SENSOR} {SIZE}'), 24.0),
    (xmp_of("<Camera:PerspectiveFocalLength>8.8</Camera:PerspectiveFocalLength>", f"{SENSOR} {SIZE}"), 24.0),
]  # fmt: skip


@pytest.mark.parametrize(("packet", "focal_35mm"), XMP)
@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "heic", "png"])
def test_focal_length_in_xmp(tmp_path: Path, packet: bytes, focal_35mm: float, suffix: str) -> None:
    path, photo = tmp_path / f"a.{suffix}", Image.new("RGB", (547, 365))
    if suffix == "tif":
        photo.save(path, tiffinfo={XMP_TAG: packet})
    elif suffix == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", packet.decode())
        photo.save(path, pnginfo=text)
    else:
        photo.save(path, xmp=packet)
    info = read_info(path)
    assert info.focal_35mm == pytest.approx(focal_35mm, rel=0.01)
    assert info.focal_source.startswith("XMP")


def test_a_crop_keeps_its_focal_length_in_pixels(tmp_path: Path) -> None:
    taken = {"FocalLengthIn35mmFilm": 50, "PixelXDimension": 600, "PixelYDimension": 400}
    info = info_of(tmp_path / "a.jpg", (300, 100), taken)
    assert info.focal_35mm is not None
    focal_px = info.focal_35mm * math.hypot(300, 100) / math.hypot(36, 24)
    assert focal_px == pytest.approx(50 * math.hypot(600, 400) / math.hypot(36, 24))
    assert "300x100 pixels and was taken with 600x400: taken for a crop" in info.doubts[0]


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (75, 50), (149, 99)])
def test_reduced_and_turned_photos_keep_their_angle(tmp_path: Path, size: tuple[int, int]) -> None:
    taken = {"FocalLengthIn35mmFilm": 50, "PixelXDimension": 600, "PixelYDimension": 400}
    info = info_of(tmp_path / "a.jpg", size, taken)
    assert (info.focal_35mm, info.doubts) == (50, ())


def test_metadata_of_another_photo_are_doubted(tmp_path: Path) -> None:
    taken = {"FocalLengthIn35mmFilm": 50, "PixelXDimension": 160, "PixelYDimension": 120}
    info = info_of(tmp_path / "a.jpg", (600, 200), taken)
    assert info.focal_35mm == 50
    assert "may be of another photo" in info.doubts[0]


def test_a_panorama_has_no_focal_length(tmp_path: Path) -> None:
    packet = xmp_of(ELEMENT, 'GPano:ProjectionType="equirectangular"')
    info = info_of(tmp_path / "a.jpg", (600, 300), {"FocalLengthIn35mmFilm": 26}, xmp=packet)
    assert info.focal_35mm is None
    assert "panorama (equirectangular)" in info.doubts[0]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "heic", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_every_container_turns_photo_and_size_alike(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    y, x = np.mgrid[:60, :100]
    stored = np.stack([x * 2, y * 4, np.zeros_like(x)], axis=-1).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95}
    exif = exif_of({}, orientation)  # of HEIC, given as bytes, it becomes the rotation of the container
    Image.fromarray(stored).save(path, exif=exif.tobytes() if suffix == "heic" else exif, **options)
    turned = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.swapaxes(0, 1), 6: np.rot90(stored, -1), 7: np.rot90(stored, 2).swapaxes(0, 1), 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    rgb, info = read_rgb(path), read_info(path)
    assert rgb.shape == turned.shape == (info.height, info.width, 3)
    assert np.abs(rgb.astype(int) - turned).mean() < 6


def test_orientation_in_xmp_alone(tmp_path: Path) -> None:
    Image.new("RGB", (100, 60)).save(tmp_path / "a.jpg", xmp=xmp_of("", 'tiff:Orientation="6"'))
    info = read_info(tmp_path / "a.jpg")
    assert info.size == read_rgb(tmp_path / "a.jpg").shape[1::-1]


def test_broken_metadata_do_not_cost_the_photo(tmp_path: Path) -> None:
    Image.new("RGB", (100, 60)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0" + bytes(5))
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert read_info(tmp_path / "a.jpg").size == (100, 60)
    assert read_rgb(tmp_path / "a.jpg").shape == (60, 100, 3)
