"""Working sizes, shared cameras and what is known of the focal length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from lotus_recon.errors import InputError
from lotus_recon.io.images import list_photos
from lotus_recon.sfm.config import AdvancedSfm, SfmConfig
from lotus_recon.sfm.images import images_with_priors


def save(path: Path, size: tuple[int, int], focal_35mm: int | None = None, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    if focal_35mm is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = focal_35mm
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, exif=exif)


def test_portrait_and_landscape_have_their_own_cameras(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", (60, 40))
    save(tmp_path / "b.jpg", (60, 40), orientation=6)
    save(tmp_path / "c.jpg", (60, 40))
    images = images_with_priors(list_photos(tmp_path), SfmConfig())
    assert [(image.width, image.height) for image in images] == [(60, 40), (40, 60), (60, 40)]
    assert [image.camera_number for image in images] == [1, 2, 1]
    assert [image.number for image in images] == [1, 2, 3]


@pytest.mark.parametrize(
    ("sharing", "numbers"),
    [("auto", [1, 2, 1]), ("resolution", [1, 1, 1]), ("folder", [1, 1, 2]), ("image", [1, 2, 3])],
)
def test_camera_sharing(tmp_path: Path, sharing: str, numbers: list[int]) -> None:
    save(tmp_path / "a/1.jpg", (60, 40), focal_35mm=28)
    save(tmp_path / "a/2.jpg", (60, 40), focal_35mm=50)
    save(tmp_path / "b/3.jpg", (60, 40), focal_35mm=28)
    config = SfmConfig(advanced=AdvancedSfm(camera_sharing=sharing))  # type: ignore[arg-type]  # the four words
    assert [image.camera_number for image in images_with_priors(list_photos(tmp_path), config)] == numbers


def start_focal(tmp_path: Path, config: SfmConfig, focal_35mm: int | None = None) -> tuple[float, bool, bool]:
    save(tmp_path / "photos/a.jpg", (3000, 2000), focal_35mm)
    (image,) = images_with_priors(list_photos(tmp_path / "photos"), config)
    assert image.working_size == (1500, 1000)
    return round(image.prior.camera.params[0], 6), image.prior.has_prior, image.prior.fixed


def test_sources_of_the_focal_length(tmp_path: Path) -> None:
    half = SfmConfig(sfm_max_size=1500)
    assert start_focal(tmp_path, half) == (1.2 * 1500, False, False)
    assert start_focal(tmp_path, half, focal_35mm=36)[:2] == (1500.0, True)  # a 36 x 24 mm frame
    given = SfmConfig(sfm_max_size=1500, focal_px=2000.0)
    assert start_focal(tmp_path, given, focal_35mm=36) == (1000.0, True, False)
    wide = SfmConfig(sfm_max_size=1500, fov_deg=90.0)
    assert start_focal(tmp_path, wide, focal_35mm=36) == (750.0, True, False)


def test_intrinsics_file_is_scaled_and_kept(tmp_path: Path) -> None:
    content: dict[str, Any] = {"width": 6000, "height": 4000, "fx": 4000.0, "fy": 4100.0, "cx": 3010.0, "cy": 1990.0}
    (tmp_path / "k.json").write_text(json.dumps(content))
    config = SfmConfig(sfm_max_size=1500, intrinsics=tmp_path / "k.json")
    assert start_focal(tmp_path, config) == (1000.0, True, True)
    content |= {"model": "SIMPLE_RADIAL", "params": [4000.0, 3000.0, 2000.0, -0.1]}
    (tmp_path / "k.json").write_text(json.dumps(content))
    (image,) = images_with_priors(list_photos(tmp_path / "photos"), config)
    assert image.prior.camera.model == "OPENCV"
    assert image.prior.camera.params == (1000.0, 1000.0, 750.0, 500.0, -0.1, 0.0, 0.0, 0.0)
    (tmp_path / "k.json").write_text(json.dumps({**content, "params": [4000.0]}))
    with pytest.raises(InputError, match=r"k\.json.*SIMPLE_RADIAL takes"):
        images_with_priors(list_photos(tmp_path / "photos"), config)
    (tmp_path / "k.json").write_text(json.dumps({**content, "height": 3000}))
    with pytest.raises(InputError, match="ratio of the sides"):
        images_with_priors(list_photos(tmp_path / "photos"), config)
