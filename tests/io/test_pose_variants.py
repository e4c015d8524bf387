"""Poses as real tools write them: other sizes, turned photos, fewer and more keys, names with spaces."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.cameras import PosedPhotos, SourceCamera, write_colmap_scene
from lotus_recon.io.images import Photo, list_photos
from lotus_recon.io.known_poses import masks_of_poses, read_known_poses
from lotus_recon.types import Camera, Scene, SparsePoints, View
from tests.io.test_known_poses import SIZE, document, photos, random_pose, write

__all__ = ["photos"]  # a fixture


@pytest.mark.parametrize("full", [(4946, 3286), (4947, 3287), (6000, 3999)])
@pytest.mark.parametrize("factor", [2, 4, 8, 31])
@pytest.mark.parametrize("rounded", [np.floor, np.round, np.ceil])
def test_a_photo_reduced_with_rounded_sides_keeps_its_rays(
    tmp_path: Path, full: tuple[int, int], factor: int, rounded: Any
) -> None:
    size = int(rounded(full[0] / factor)), int(rounded(full[1] / factor))
    (tmp_path / "photos").mkdir()
    PIL.Image.new("RGB", size).save(tmp_path / "photos/a.png")
    photos = list_photos(tmp_path / "photos")
    top = {"w": full[0], "h": full[1], "fl_x": 4000.0, "fl_y": 4010.0, "cx": 2400.0, "cy": 1700.0}
    camera = read_known_poses(write(tmp_path, document(photos, **top)), photos).cameras["a.png"]
    sx, sy = size[0] / full[0], size[1] / full[1]
    assert (camera.width, camera.height) == size
    assert camera.params == pytest.approx((4000 * sx, 4010 * sy, 2400 * sx, 1700 * sy))


def turned_photo(tmp_path: Path, orientation: int, size: tuple[int, int]) -> list[Photo]:
    """One photo of (width, height) ``size`` as stored, which EXIF turns."""
    exif = PIL.Image.Exif()
    exif[274] = orientation
    (tmp_path / "photos").mkdir()
    PIL.Image.new("RGB", size).save(tmp_path / "photos/a.png", exif=exif)
    return list_photos(tmp_path / "photos")


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("kind", ["colmap", "transforms", "no size"])
@pytest.mark.parametrize(
    ("orientation", "size"), [(2, (64, 48)), (3, (64, 48)), (4, (64, 48)), (6, (64, 48)), (5, (48, 48)), (8, (48, 48))]
)
def test_a_pose_of_the_stored_pixels_of_a_turned_photo_is_refused(
    tmp_path: Path, orientation: int, size: tuple[int, int], kind: str, scale: int
) -> None:
    photos = turned_photo(tmp_path, orientation, size)
    width, height = size[0] * scale, size[1] * scale
    if kind == "colmap":
        view = View("a.png", Camera(width, height, 50, 50, 30, 20), np.eye(4))
        write_colmap_scene(Scene((view,), SparsePoints.empty()), tmp_path / "model")
        path = tmp_path / "model"
    elif kind == "transforms":
        path = write(tmp_path, document(photos, w=width, h=height))
    else:
        path = write(tmp_path, {"camera_angle_x": 1.0, "frames": document(photos)["frames"]})
    with pytest.raises(InputError, match=rf"a\.png.*orientation {orientation}"):
        read_known_poses(path, photos)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("stored", [(48, 64), (63, 64)])
def test_a_camera_of_the_upright_size_is_of_the_upright_photo(
    tmp_path: Path, orientation: int, stored: tuple[int, int]
) -> None:
    photos = turned_photo(tmp_path, orientation, stored)
    known = read_known_poses(write(tmp_path, document(photos, w=stored[1], h=stored[0])), photos)
    assert known.cameras["a.png"] == SourceCamera("PINHOLE", stored[1], stored[0], (50.0, 51.0, 32.5, 23.0))


def test_case_of_suffixes_need_not_agree(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.JPG", "b.jpg"):
        PIL.Image.new("RGB", SIZE).save(tmp_path / "photos" / name)
    photos = list_photos(tmp_path / "photos")
    poses = {"a.jpg": random_pose(1), "b.JPG": random_pose(2)}
    camera = Camera(*SIZE, 50.0, 51.0, 32.5, 23.0)
    points = SparsePoints(
        np.ones((1, 3)),
        np.zeros((1, 3), np.uint8),
        np.zeros(1),
        np.zeros(2, int),
        np.arange(2),
        np.array([[1.0, 2], [3, 4]]),
    )
    write_colmap_scene(Scene(tuple(View(n, camera, p) for n, p in poses.items()), points), tmp_path / "model")
    frames = [{"file_path": f"photos/{n}", "transform_matrix": invert_rigid(p).tolist()} for n, p in poses.items()]
    write(tmp_path, document(photos, frames=frames))
    for path in (tmp_path / "model", tmp_path / "transforms.json"):
        assert read_known_poses(path, photos).names == ("a.JPG", "b.jpg")
    known = read_known_poses(tmp_path / "model", photos)
    for old, new in zip(poses, known.names, strict=True):
        np.testing.assert_allclose(known.cam_from_world[new], poses[old], atol=1e-12)


def test_renamed_photos_keep_their_observations() -> None:
    camera = SourceCamera("PINHOLE", 64, 48, (50.0, 50.0, 32.0, 24.0))
    poses = {name: random_pose(i) for i, name in enumerate("abc")}
    xy = np.array([[1.0, 1], [2, 2], [3, 3]])
    points = SparsePoints(np.ones((1, 3)), np.zeros((1, 3), np.uint8), np.zeros(1), np.zeros(3, int), np.arange(3), xy)
    renamed = PosedPhotos(dict.fromkeys(poses, camera), poses, points).renamed({"a": "z", "b": "x", "c": "y"})
    assert renamed.names == ("x", "y", "z")
    at = {renamed.names[view]: tuple(p) for view, p in zip(renamed.points.obs_view, renamed.points.obs_xy, strict=True)}
    assert at == {"z": (1, 1), "x": (2, 2), "y": (3, 3)}
    np.testing.assert_array_equal(renamed.cam_from_world["z"], poses["a"])


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"w": 64, "h": 48, "fl_x": 50.0}, (50, 50, 32, 24)),
        ({"w": 64, "h": 48, "fl_y": 50.0}, (50, 50, 32, 24)),
        ({"fl_x": 50.0}, (50, 50, 32, 24)),
        ({"fl_x": 50.0, "cx": 30.0, "cy": 25.0}, (50, 50, 30, 25)),
        ({"camera_angle_x": 1.2, "fl_x": 50.0}, (50, 50, 32, 24)),
        ({"camera_angle_x": np.pi / 2, "fl_y": 40.0}, (32, 40, 32, 24)),
        ({"camera_angle_y": np.pi / 2}, (24, 24, 32, 24)),
        ({"w": 128, "h": 96, "fl_x": 100.0}, (50, 50, 32, 24)),
    ],
)
def test_fewer_keys_as_instant_ngp_reads_them(
    photos: list[Photo], tmp_path: Path, top: dict[str, float], expected: tuple[float, ...]
) -> None:
    known = read_known_poses(write(tmp_path, {**top, "frames": document(photos)["frames"]}), photos)
    assert known.cameras["a.png"].params == pytest.approx(expected)


def test_a_centre_of_another_size_needs_that_size(photos: list[Photo], tmp_path: Path) -> None:
    top = {"fl_x": 500.0, "cx": 320.0, "cy": 240.0, "frames": document(photos)["frames"]}
    with pytest.raises(InputError, match="'cx' is 320, far from the middle of the 64 pixels.*'w'"):
        read_known_poses(write(tmp_path, top), photos)


@pytest.mark.parametrize("key", ["k4", "k5", "k6", "s1", "b1", "tau_x", "p3"])
@pytest.mark.parametrize("place", ["top", "frame"])
def test_distortion_that_no_camera_has_is_refused(photos: list[Photo], tmp_path: Path, key: str, place: str) -> None:
    content = document(photos)
    (content if place == "top" else content["frames"][0])[key] = 0.3
    with pytest.raises(InputError, match=f"frame 0 .*{key} = 0.3"):
        read_known_poses(write(tmp_path, content), photos)
    (content if place == "top" else content["frames"][0])[key] = 0.0
    assert read_known_poses(write(tmp_path, content), photos).cameras["a.png"].is_pinhole


def test_tangential_distortion_of_a_fisheye_is_refused(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos, camera_model="OPENCV_FISHEYE", k1=0.1, p1=0.01)
    with pytest.raises(InputError, match=r"p1 = 0\.01"):
        read_known_poses(write(tmp_path, content), photos)


def test_keys_that_are_not_used_are_named(
    photos: list[Photo], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = document(photos, aabb_scale=16, ply_file_path="points.ply")
    content["frames"][1]["depth_file_path"] = "d.png"
    read_known_poses(write(tmp_path, content), photos)
    assert "these keys are not used: depth_file_path, ply_file_path" in caplog.text


def test_byte_order_mark_and_three_rows(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos)
    content["frames"][0]["transform_matrix"] = invert_rigid(random_pose(3))[:3].tolist()
    whole = {**content, "frames": [dict(frame) for frame in content["frames"]]}
    whole["frames"][0]["transform_matrix"] = invert_rigid(random_pose(3)).tolist()
    (tmp_path / "bom.json").write_text(json.dumps(content), encoding="utf-8-sig")
    poses = [read_known_poses(p, photos).cam_from_world for p in (tmp_path / "bom.json", write(tmp_path, whole))]
    np.testing.assert_array_equal(poses[0]["a.png"], poses[1]["a.png"])


def test_masks_named_with_the_poses(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos)
    (tmp_path / "m").mkdir()
    content["frames"][1]["mask_path"] = "m/b.png"
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=r"frame 1 .*mask_path .*b\.png does not exist"):
        masks_of_poses(path, photos)
    PIL.Image.new("L", SIZE, 255).save(tmp_path / "m/b.png")
    assert masks_of_poses(path, photos) == {"sub folder/b.jpg": tmp_path / "m/b.png"}


@pytest.mark.parametrize("with_points", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_names_with_spaces_in_a_text_model(tmp_path: Path, with_points: bool, ending: str) -> None:
    names = ["my photo (1).png", "my photo (2).png", "plain.png", "zwei  Leerzeichen ü.png"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "model").mkdir()
    lines = ["# Image list", ""]
    for i, name in enumerate(names, 1):
        PIL.Image.new("RGB", SIZE).save(tmp_path / "photos" / name)
        # A quarter turn about z, written by hand; the features of the last two photos are one point.
        lines += [f"{i} 0.7071067811865476 0 0 0.7071067811865476 {i} 0 2 1 {name}"]
        lines += ["10.5 20.5 1 1 2 -1" if with_points and i > 2 else ""]
    (tmp_path / "model/images.txt").write_text(ending.join(lines) + ending, "utf-8")
    (tmp_path / "model/cameras.txt").write_text("1 PINHOLE 64 48 50 50 32 24\n")
    if with_points:
        (tmp_path / "model/points3D.txt").write_text("1 0 0 5 9 9 9 0.1 3 0 4 0\n")
    known = read_known_poses(tmp_path / "model", list_photos(tmp_path / "photos"))
    assert known.names == tuple(names)
    for i, name in enumerate(names, 1):
        np.testing.assert_allclose(known.cam_from_world[name][:3, 3], (i, 0, 2))
    if with_points:
        assert [known.names[view] for view in known.points.obs_view] == names[2:]
        np.testing.assert_array_equal(known.points.obs_xy, [[10.5, 20.5]] * 2)


def test_a_camera_list_is_the_same_cameras_half_a_pixel_aside(photos: list[Photo], tmp_path: Path) -> None:
    """cameras.json: K counts from the centre of the first pixel, w2c is ours already."""
    poses = [random_pose(i) for i in range(len(photos))]
    K = [[70.0, 0, 31.5], [0, 71.0, 22.5], [0, 0, 1]]
    frames = [{"file": str(p.path), "K": K, "w2c": pose.tolist()} for p, pose in zip(photos, poses, strict=True)]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"unit": "millimetre", "frames": frames}))
    given = read_known_poses(path, photos)
    for one, pose in zip(photos, poses, strict=True):
        camera = given.cameras[one.name]
        assert (camera.width, camera.height) == SIZE
        assert camera.params == pytest.approx((70, 71, 32, 23))
        np.testing.assert_allclose(given.cam_from_world[one.name], pose)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda frame: frame.pop("K"), r"frame 0 .*: 'K' is missing"),
        (lambda frame: frame["K"][0].__setitem__(1, 3.0), "K has the skew 3"),
        (lambda frame: frame["w2c"][0].__setitem__(0, 5.0), "not a rotation"),
        (lambda frame: frame.update(width=4000, height=10), "the ratio of the sides must agree"),
    ],
)
def test_a_camera_list_that_cannot_be_used(photos: list[Photo], tmp_path: Path, spoil: Any, said: str) -> None:
    K = [[70.0, 0, 31.5], [0, 71.0, 22.5], [0, 0, 1]]
    frame = {"file": str(photos[0].path), "K": K, "w2c": np.eye(4).tolist()}
    spoil(frame)
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"frames": [frame]}))
    with pytest.raises(InputError, match=said):
        read_known_poses(path, photos)


@pytest.mark.parametrize(("of_photos", "of_poses"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("suffix", [".jpg", ""])
def test_either_form_of_unicode_names_a_photo(tmp_path: Path, of_photos: Any, of_poses: Any, suffix: str) -> None:
    """macOS takes letters such as ü apart; tools elsewhere write them as one."""
    name = "Fluß für Ängström"
    (tmp_path / "photos").mkdir()
    PIL.Image.new("RGB", SIZE).save(tmp_path / "photos" / f"{unicodedata.normalize(of_photos, name)}.jpg")
    photos, posed = list_photos(tmp_path / "photos"), unicodedata.normalize(of_poses, name)
    assert posed not in photos[0].name
    view = View(f"{posed}.jpg", Camera(*SIZE, 50.0, 51.0, 32.5, 23.0), random_pose(1))
    write_colmap_scene(Scene((view,), SparsePoints.empty()), tmp_path / "model")
    pose = invert_rigid(random_pose(1)) @ np.diag([1, -1, -1, 1])
    frames = [{"file_path": f"photos/{posed}{suffix}", "transform_matrix": pose.tolist()}]
    for path in (tmp_path / "model", write(tmp_path, document(photos, frames=frames))):
        known = read_known_poses(path, photos)
        np.testing.assert_allclose(known.cam_from_world[photos[0].name], random_pose(1), atol=1e-12)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("marked", ["cameras", "images", "points3D"])
def test_byte_order_marks_in_a_text_model(tmp_path: Path, marked: str, ending: str) -> None:
    names = ["plain.png", "ruled\u2028by a poet.png"]  # U+2028 ends lines elsewhere
    files = {
        "cameras": ["1 PINHOLE 64 48 50 50 32 24"],
        "images": [line for i, name in enumerate(names, 1) for line in (f"{i} 1 0 0 0 {i} 0 2 1 {name}", "10 20 1")],
        "points3D": ["1 0 0 5 9 9 9 0.1 1 0 2 0"],
    }
    (tmp_path / "photos").mkdir()
    (tmp_path / "model").mkdir()
    for file, lines in files.items():
        encoding = "utf-8-sig" if file == marked else "utf-8"
        (tmp_path / f"model/{file}.txt").write_bytes((ending.join(lines) + ending).encode(encoding))
    for name in names:
        PIL.Image.new("RGB", SIZE).save(tmp_path / "photos" / name)
    known = read_known_poses(tmp_path / "model", list_photos(tmp_path / "photos"))
    assert [known.cam_from_world[name][0, 3] for name in names] == [1, 2]
    np.testing.assert_array_equal(known.points.xyz, [[0, 0, 5]])


def test_null_is_a_key_that_is_missing(photos: list[Photo], tmp_path: Path) -> None:
    nothing = dict.fromkeys(("w", "h", "cx", "cy", "fl_y", "k1", "k3", "p1"))
    known = read_known_poses(write(tmp_path, document(photos, **nothing, fl_x=50.0)), photos)
    assert known.cameras["a.png"] == SourceCamera("PINHOLE", *SIZE, (50.0, 50.0, 32.0, 24.0))
    with pytest.raises(InputError, match="'fl_x' is missing"):
        read_known_poses(write(tmp_path, document(photos, **nothing, fl_x=None)), photos)
