"""Reader of rooms against a folder written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.datasets.rooms import RoomsSet, frames, mesh_file
from lotus_recon.datasets.verification import check_files
from lotus_recon.errors import InputError
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import write_png
from lotus_recon.io.transforms import write_transforms
from lotus_recon.types import Camera

CAMERA = Camera(24, 18, 20.0, 21.0, 12.5, 9.0)
POSE = np.array([[1, 0, 0, 0.5], [0, 0, -1, 1.4], [0, 1, 0, -2.0], [0, 0, 0, 1]], np.float64)


def write_room(root: Path, number: int) -> Path:
    """A room with two views: depth 2 m but for a hole, normals to the camera, sky in the first."""
    scene = root / f"scene_{number:06d}"
    (scene / "images").mkdir(parents=True)
    depth = np.full((18, 24), 8000, np.uint16)
    depth[0, 0] = 0
    normals = np.broadcast_to(np.array([32768, 32768, 0], np.uint16), (18, 24, 3))
    sky = np.zeros((18, 24), np.uint8)
    sky[0, 0] = 255
    for view in ("000", "001"):
        Image.new("RGB", (24, 18), "red").save(scene / f"images/{view}.jpg")
        write_png(scene / f"depth/{view}.png", depth)
        write_png(scene / f"normals/{view}.png", normals)
    write_png(scene / "sky/000.png", sky)
    poses = {"000.jpg": POSE, "001.jpg": np.eye(4)}
    write_transforms(
        scene / "transforms.json", dict.fromkeys(poses, SourceCamera.of_pinhole(CAMERA)), poses, photos_folder="images"
    )
    return scene


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (0, 1, 20, 21, 22):
        write_room(tmp_path, number)
    (tmp_path / ".part-1-23" / "images").mkdir(parents=True)
    return tmp_path


def test_every_20th_room_is_for_validation(root: Path) -> None:
    names = {
        split: [rooms.name(i) for i in range(len(rooms))]
        for split in ("train", "val", "all")
        for rooms in [RoomsSet(root, split)]
    }
    assert names["val"] == ["scene_000000/000", "scene_000000/001", "scene_000020/000", "scene_000020/001"]
    assert len(names["train"]) == 6
    assert sorted(names["train"] + names["val"]) == names["all"]


def test_values(root: Path) -> None:
    sample = RoomsSet(root, "val").load(0)
    assert sample.depth is not None
    assert sample.depth_valid is not None
    assert sample.sky is not None
    assert sample.normals is not None
    assert np.allclose(sample.depth[sample.depth_valid], 2.0)
    assert not sample.depth_valid[0, 0]
    assert sample.sky.sum() == 1
    assert sample.sky[0, 0]
    assert np.allclose(sample.normals, (0, 0, -1), atol=2e-5)
    assert sample.rgb.shape == (18, 24, 3)
    other = RoomsSet(root, "val").load(1)
    assert other.sky is not None
    assert not other.sky.any()


def test_frames_have_camera_and_pose(root: Path) -> None:
    first, _ = frames(root / "scene_000001")
    assert first.photo == root / "scene_000001/images/000.jpg"
    assert first.view.name == "000.jpg"
    assert first.view.camera == CAMERA
    assert np.allclose(first.view.cam_from_world, POSE)


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"none does not exist.*make_rooms"):
        RoomsSet(root / "none", "train")
    with pytest.raises(InputError, match="train, val, all"):
        RoomsSet(root, "test")
    with pytest.raises(InputError, match="--no-mesh"):
        mesh_file(root / "scene_000000")
    with pytest.raises(InputError, match=r"transforms\.json"):
        frames(root / "none")
    (root / "scene_000001/normals/000.png").unlink()
    with pytest.raises(InputError, match=r"normals/000\.png is missing"):
        RoomsSet(root, "train").load(0)


def test_a_half_extracted_room_is_found_without_opening_files(root: Path) -> None:
    (root / "scene_000001/images/001.jpg").unlink()
    (root / "scene_000021/normals/000.png").write_bytes(b"")
    photo = root / "scene_000022/images/000.jpg"
    photo.write_bytes(photo.read_bytes()[:-20])
    problems = {problem.sample: problem.reason for problem in check_files(RoomsSet(root, "train"), workers=1)}
    assert set(problems) == {"scene_000001/001", "scene_000021/000", "scene_000022/000"}
    assert "images/001.jpg is missing" in problems["scene_000001/001"]
    assert "normals/000.png is empty" in problems["scene_000021/000"]
    assert "images/000.jpg is cut off" in problems["scene_000022/000"]


def test_a_map_without_a_value_is_an_error(root: Path) -> None:
    write_png(root / "scene_000001/depth/001.png", np.zeros((18, 24), np.uint16))
    with pytest.raises(InputError, match=r"depth/001\.png holds no valid depth"):
        RoomsSet(root, "train").load(1)


def test_rooms_that_were_lost_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    RoomsSet(root)
    assert "lacks 18 rooms below number 22: 2, 3, 4, 5, 6, ..." in caplog.text
    caplog.clear()
    for number in range(2, 20):
        write_room(root, number)
    RoomsSet(root)
    assert caplog.text == ""
