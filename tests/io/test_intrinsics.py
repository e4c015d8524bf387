"""The camera of a single photo comes from the first source that is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.images import PhotoInfo
from lotus_recon.io.intrinsics import GivenIntrinsics, camera_of_photo, read_intrinsics

INFO = PhotoInfo(3600, 2400, focal_35mm=50.0, camera_model=None)


@pytest.fixture
def intrinsics_file(tmp_path: Path) -> Path:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"width": 1800, "height": 1200, "fx": 1000, "fy": 1010, "cx": 890, "cy": 610}))
    return path


def test_order_of_sources(intrinsics_file: Path) -> None:
    given = [
        GivenIntrinsics(intrinsics_file, 3000.0, 35.0, 60.0),
        GivenIntrinsics(None, 3000.0, 35.0, 60.0),
        GivenIntrinsics(None, None, 36.0, 60.0),
        GivenIntrinsics(None, None, None, 90.0),
        GivenIntrinsics(),
    ]
    found = [camera_of_photo(INFO, one, 3600, 2400) for one in given]
    # A 36 x 24 mm sensor with 3600 x 2400 pixels has 100 pixels a millimetre.
    assert [camera.fx for camera, _ in found] == pytest.approx([2000, 3000, 3600, 1800, 5000])
    sources = ["camera.json", "--focal-px", "--focal-35mm", "--fov-deg", "EXIF"]
    assert all(word in source for word, (_, source) in zip(sources, found, strict=True))


def test_without_anything_55_degrees() -> None:
    camera, source = camera_of_photo(PhotoInfo(640, 480, None, None), GivenIntrinsics(), 320, 240)
    assert camera.fov_deg[0] == pytest.approx(55.0)
    assert (camera.width, camera.cx) == (320, 160)
    assert "default of 55 degrees" in source


def test_intrinsics_follow_the_resize(intrinsics_file: Path) -> None:
    camera, _ = camera_of_photo(INFO, GivenIntrinsics(intrinsics=intrinsics_file), 900, 600)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((500, 505, 445, 305))


def test_intrinsics_of_another_shape(intrinsics_file: Path) -> None:
    with pytest.raises(InputError, match="1800x1200.*1000x1000.*ratio"):
        camera_of_photo(PhotoInfo(1000, 1000, None, None), GivenIntrinsics(intrinsics=intrinsics_file), 500, 500)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "no json", '{"width": 0, "height": 1, "fx": 1, "fy": 1, "cx": 0, "cy": 0}']
)
def test_bad_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=r"c\.json"):
        read_intrinsics(tmp_path / "c.json")


@pytest.mark.parametrize("given", [{"focal_px": -1.0}, {"focal_35mm": 0.0}, {"fov_deg": 180.0}])
def test_impossible_values(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        GivenIntrinsics(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("factor", [2, 4, 8, 31])
def test_intrinsics_of_photos_reduced_with_rounded_sides(tmp_path: Path, factor: int) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"width": 4946, "height": 3286, "fx": 4000, "fy": 4000, "cx": 2473, "cy": 1643}))
    width, height = 4946 // factor, 3286 // factor
    camera, _ = camera_of_photo(PhotoInfo(width, height, None, None), GivenIntrinsics(path), width, height)
    assert (camera.fx, camera.fy) == pytest.approx((4000 * width / 4946, 4000 * height / 3286))
