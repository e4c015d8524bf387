"""Given poses: transforms.json and COLMAP models, matched to photos; every way they can be wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.cameras import SourceCamera, write_colmap_scene
from lotus_recon.io.images import Photo, list_photos
from lotus_recon.io.known_poses import read_known_poses
from lotus_recon.io.transforms import write_transforms
from lotus_recon.types import Camera, Scene, SparsePoints, View

SIZE = (64, 48)
IDENTITY = np.eye(4).tolist()


def random_pose(seed: int) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return pose


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    root = tmp_path / "photos"
    for name in ("a.png", "sub folder/b.jpg", "sub folder/ü.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", SIZE).save(root / name)
    return list_photos(root)


def document(photos: list[Photo], **changes: Any) -> dict[str, Any]:
    top = {"w": 64, "h": 48, "fl_x": 50.0, "fl_y": 51.0, "cx": 32.5, "cy": 23.0}
    frames = [{"file_path": f"photos/{photo.name}", "transform_matrix": IDENTITY} for photo in photos]
    return {**top, "frames": frames, **changes}


def write(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(content))
    return path


def test_opengl_camera_looks_down_its_negative_z(photos: list[Photo], tmp_path: Path) -> None:
    # By hand: a camera at (0, 0, 5) with OpenGL axes along the world's looks at the origin from above; world x is to
    # the right in the photo, world y up.
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]]
    content = document(photos)
    content["frames"][0]["transform_matrix"] = matrix
    known = read_known_poses(write(tmp_path, content), photos)
    pose = known.cam_from_world["a.png"]
    np.testing.assert_allclose(transform(pose, np.array([0.0, 0.0, 0.0])), (0, 0, 5))
    camera = Camera(*SIZE, 50.0, 51.0, 32.5, 23.0)
    np.testing.assert_allclose(project(transform(pose, np.array([1.0, 0.0, 0.0])), camera), (42.5, 23.0))
    np.testing.assert_allclose(project(transform(pose, np.array([0.0, 1.0, 0.0])), camera), (32.5, 23.0 - 10.2))


def test_transforms_round_trip(photos: list[Photo], tmp_path: Path) -> None:
    poses = {photo.name: random_pose(i) for i, photo in enumerate(photos)}
    pinhole = (50.0, 51.0, 32.5, 23.0)
    cameras = {
        photos[0].name: SourceCamera("PINHOLE", *SIZE, pinhole),
        photos[1].name: SourceCamera("OPENCV", *SIZE, (*pinhole, -0.1, 0.02, 0.001, -0.002)),
        photos[2].name: SourceCamera("OPENCV_FISHEYE", *SIZE, (*pinhole, -0.1, 0.02, 0.001, -0.002)),
    }
    write_transforms(tmp_path / "transforms.json", cameras, poses, "photos")
    known = read_known_poses(tmp_path / "transforms.json", photos)
    assert known.cameras == cameras
    for name, pose in poses.items():
        np.testing.assert_allclose(known.cam_from_world[name], pose, atol=1e-12)


def test_transforms_agree_with_colmap(photos: list[Photo], tmp_path: Path) -> None:
    camera = Camera(*SIZE, 50.0, 51.0, 32.5, 23.0)
    views = tuple(View(photo.name, camera, random_pose(i)) for i, photo in enumerate(photos))
    write_colmap_scene(Scene(views, SparsePoints.empty()), tmp_path / "model")
    from_colmap = read_known_poses(tmp_path / "model", photos)
    write_transforms(tmp_path / "transforms.json", from_colmap.cameras, from_colmap.cam_from_world, "photos")
    from_json = read_known_poses(tmp_path / "transforms.json", photos)
    for view in views:
        np.testing.assert_allclose(from_colmap.cam_from_world[view.name], view.cam_from_world, atol=1e-14)
        np.testing.assert_allclose(from_json.cam_from_world[view.name], view.cam_from_world, atol=1e-12)
    assert from_json.cameras == from_colmap.cameras


def test_colmap_written_by_pycolmap(photos: list[Photo], tmp_path: Path) -> None:
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=64, height=48, params=[50, 32, 24, 0.1])
    )
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.0, 0.0, np.sin(0.3), np.cos(0.3)])), np.array([1.0, 2, 3]))
    model.add_image_with_trivial_frame(pycolmap.Image(image_id=1, camera_id=1, name="a.png"), pose)
    model.write_text(str(tmp_path))
    known = read_known_poses(tmp_path, photos)
    assert known.cameras["a.png"] == SourceCamera("SIMPLE_RADIAL", 64, 48, (50.0, 32.0, 24.0, 0.1))
    expected = [[np.cos(0.6), -np.sin(0.6), 0, 1], [np.sin(0.6), np.cos(0.6), 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(known.cam_from_world["a.png"], expected, atol=1e-14)


def test_frame_overrides_top_and_suffix_may_be_missing(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos, k1=0.1)
    content["frames"][0] |= {"file_path": "./photos/a", "fl_x": 70.0, "k1": 0.0}
    known = read_known_poses(write(tmp_path, content), photos)
    assert known.cameras["a.png"] == SourceCamera("PINHOLE", *SIZE, (70.0, 51.0, 32.5, 23.0))
    assert known.cameras[photos[1].name].params == (50.0, 51.0, 32.5, 23.0, 0.1, 0.0, 0.0, 0.0)


def test_field_of_view_instead_of_focal_length(photos: list[Photo], tmp_path: Path) -> None:
    frames = document(photos)["frames"]
    known = read_known_poses(write(tmp_path, {"camera_angle_x": np.pi / 2, "frames": frames}), photos)
    assert known.cameras["a.png"].params == pytest.approx((32.0, 32.0, 32.0, 24.0))


def test_third_radial_term_needs_the_full_model(photos: list[Photo], tmp_path: Path) -> None:
    known = read_known_poses(write(tmp_path, document(photos, k3=0.05)), photos)
    camera = known.cameras["a.png"]
    assert camera.model == "FULL_OPENCV"
    # r^2 = 0.25 at the ray (0.5, 0): the polynomial is 1 + k3 r^6.
    xy = camera.to_colmap().img_from_cam(np.array([[0.5, 0.0, 1.0]]))
    np.testing.assert_allclose(xy, [[32.5 + 50.0 * 0.5 * (1 + 0.05 * 0.25**3), 23.0]])


@pytest.mark.parametrize("keys", [("fl_x", "fl_y"), ("frames",)])
def test_missing_key_on_top(photos: list[Photo], tmp_path: Path, keys: tuple[str, ...]) -> None:
    content = {key: value for key, value in document(photos).items() if key not in keys}
    with pytest.raises(InputError, match=f"'{keys[0]}' is missing"):
        read_known_poses(write(tmp_path, content), photos)


@pytest.mark.parametrize("key", ["file_path", "transform_matrix"])
def test_missing_key_of_a_frame(photos: list[Photo], tmp_path: Path, key: str) -> None:
    content = document(photos)
    del content["frames"][1][key]
    with pytest.raises(InputError, match=f"frame 1 .*'{key}' is missing"):
        read_known_poses(write(tmp_path, content), photos)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([2.0, 2.0, 2.0, 1.0]).tolist(), "not a rotation"),
        (np.diag([-1.0, 1.0, 1.0, 1.0]).tolist(), "not a rotation"),
        ([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "not a rotation"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "allowed: \\(4, 4\\)"),
        ([[1, 0], [0, 1, 0]], "not a matrix"),
        ("text", "not a matrix"),
    ],
)
def test_matrix_that_is_not_rigid_names_its_frame(
    photos: list[Photo], tmp_path: Path, matrix: Any, message: str
) -> None:
    content = document(photos)
    content["frames"][2]["transform_matrix"] = matrix
    with pytest.raises(InputError, match=f"frame 2 .*{message}"):
        read_known_poses(write(tmp_path, content), photos)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_model": "EQUIRECTANGULAR"}, "allowed: OPENCV"),
        ({"k4": 0.1}, "k4 = 0.1"),
        ({"fl_x": "wide"}, "'fl_x' is 'wide'"),
        ({"fl_x": -3.0}, "positive"),
    ],
)
def test_bad_intrinsics_name_their_frame(
    photos: list[Photo], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"frame 0 .*{message}"):
        read_known_poses(write(tmp_path, document(photos, **change)), photos)


def test_rounded_rotation_keeps_the_camera_centre(photos: list[Photo], tmp_path: Path) -> None:
    world_from_cam = invert_rigid(random_pose(5))
    content = document(photos)
    content["frames"][0]["transform_matrix"] = np.round(world_from_cam, 5).tolist()
    pose = read_known_poses(write(tmp_path, content), photos).cam_from_world["a.png"]
    np.testing.assert_allclose(-pose[:3, :3].T @ pose[:3, 3], np.round(world_from_cam[:3, 3], 5), atol=1e-12)


def test_poses_of_photos_that_do_not_exist(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos)
    content["frames"] += [{"file_path": f"photos/x{i}.png", "transform_matrix": IDENTITY} for i in range(7)]
    with pytest.raises(InputError, match=r"7 of 10 poses .*x0\.png.* and 2 more"):
        read_known_poses(write(tmp_path, content), photos)
    views = (View("gone.png", Camera(*SIZE, 50, 50, 32, 24), np.eye(4)),)
    write_colmap_scene(Scene(views, SparsePoints.empty()), tmp_path / "model")
    with pytest.raises(InputError, match=r"1 of 1 poses .*gone\.png"):
        read_known_poses(tmp_path / "model", photos)


def test_photos_without_pose_are_left_out_with_a_warning(
    photos: list[Photo], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        known = read_known_poses(write(tmp_path, document(photos[:2])), photos)
    assert known.names == tuple(photo.name for photo in photos[:2])
    assert "1 of 3 photos have no pose" in caplog.text
    assert photos[2].name in caplog.text


def test_second_pose_of_a_photo(photos: list[Photo], tmp_path: Path) -> None:
    content = document(photos)
    content["frames"].append(content["frames"][0])
    with pytest.raises(InputError, match=r"frame 3 .*second pose of photo a\.png"):
        read_known_poses(write(tmp_path, content), photos)


def test_camera_of_another_size_is_scaled_when_the_ratio_agrees(photos: list[Photo], tmp_path: Path) -> None:
    double = document(photos, w=128, h=96, fl_x=100.0, fl_y=102.0, cx=65.0, cy=46.0)
    known = read_known_poses(write(tmp_path, double), photos)
    assert known.cameras["a.png"] == SourceCamera("PINHOLE", *SIZE, (50.0, 51.0, 32.5, 23.0))
    with pytest.raises(InputError, match="for 128x99 pixels, the photo has 64x48"):
        read_known_poses(write(tmp_path, {**double, "h": 99}), photos)
    with pytest.raises(InputError, match="width and height are exchanged"):
        read_known_poses(write(tmp_path, {**double, "w": 48, "h": 64}), photos)


def test_observations_of_a_scaled_model_follow(photos: list[Photo], tmp_path: Path) -> None:
    camera = Camera(128, 96, 100.0, 100.0, 64.0, 48.0)
    views = tuple(View(photo.name, camera, np.eye(4)) for photo in photos[:2])
    points = SparsePoints(
        np.array([[0.0, 0.0, 2.0]]),
        np.zeros((1, 3), np.uint8),
        np.zeros(1),
        np.zeros(2, np.int64),
        np.arange(2),
        np.array([[64.0, 48.0], [30.0, 10.0]]),
    )
    write_colmap_scene(Scene(views, points), tmp_path / "model")
    known = read_known_poses(tmp_path / "model", photos)
    np.testing.assert_allclose(known.points.obs_xy, [[32.0, 24.0], [15.0, 5.0]])


@pytest.mark.parametrize("content", ["", "[]", '{"frames": []}', "{"])
def test_not_a_transforms_file(photos: list[Photo], tmp_path: Path, content: str) -> None:
    (tmp_path / "transforms.json").write_text(content)
    with pytest.raises(InputError, match=r"transforms\.json"):
        read_known_poses(tmp_path / "transforms.json", photos)


def test_missing_poses(photos: list[Photo], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        read_known_poses(tmp_path / "none.json", photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no COLMAP model"):
        read_known_poses(tmp_path / "empty", photos)
