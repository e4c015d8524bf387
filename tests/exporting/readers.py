"""Readers of what was exported, written from what the consumers document, without any of the writers' code."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ReadView:
    """A posed photo with depth as a consumer sees it; pixel (0, 0) has its centre at ``first`` in both axes."""

    K: NDArray[np.float64]  # (3, 3)
    cam_from_world: NDArray[np.float64]  # (4, 4), x right, y down, z forward
    depth: NDArray[np.float64]  # (H, W)
    photo: Path
    first: float = 0.5
    used: NDArray[np.bool_] | None = None  # (H, W) pixels to learn from, where the format has masks

    def project(self, world: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (N, 2), with the first centre at 0.5, and z (N,) of points (N, 3)."""
        in_cam = world @ self.cam_from_world[:3, :3].T + self.cam_from_world[:3, 3]
        image = in_cam @ self.K.T
        return image[:, :2] / image[:, 2:] - self.first + 0.5, in_cam[:, 2]


def read_nerfstudio(folder: Path, depth_unit_scale_factor: float = 1e-3) -> dict[str, ReadView]:
    """By file name, as nerfstudio's data conventions have it: OpenGL cameras to world, depth of all frames or none.

    So are masks: one channel, of the size of the photo, black where it is not to be used.
    """
    content = json.loads((folder / "transforms.json").read_text())
    with_depth = ["depth_file_path" in frame for frame in content["frames"]]
    assert all(with_depth) or not any(with_depth)
    with_mask = ["mask_path" in frame for frame in content["frames"]]
    assert all(with_mask) or not any(with_mask)
    assert all(frame.get(key, 0) == 0 for frame in content["frames"] for key in ("k1", "k2", "p1", "p2"))
    views = {}
    for frame in content["frames"]:
        K = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]])
        world_from_cam = np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        depth = np.load(folder / frame["depth_file_path"]).astype(np.float64) * depth_unit_scale_factor
        assert depth.shape == (frame["h"], frame["w"])
        photo = folder / frame["file_path"]
        used = None
        if "mask_path" in frame:
            used = _image(folder / frame["mask_path"]) != 0
            assert used.shape == depth.shape
        views[photo.name] = ReadView(K, np.linalg.inv(world_from_cam), depth, photo, used=used)
    return views


def read_3dgs(folder: Path) -> dict[str, ReadView]:
    """By file name. Cameras are a field of view and a pose; depth as ``train.py -d depths`` loads it."""
    cameras, images = read_colmap_binary(folder / "sparse/0")
    params = json.loads((folder / "sparse/0/depth_params.json").read_text())
    views = {}
    for name, image in images.items():
        width, height, (fx, fy, _, _) = cameras[image["camera"]]
        K = np.array([[fx, 0, width / 2], [0, fy, height / 2], [0, 0, 1]])
        stem = name.rsplit(".", 1)[0]
        stored = _image(folder / "depths" / f"{stem}.png")
        assert stored.dtype == np.uint16
        assert stored.shape == (height, width)
        one = params[stem]
        reliable = 0.2 * one["med_scale"] <= one["scale"] <= 5 * one["med_scale"] and one["scale"] > 0
        inverse = stored.astype(np.float32) / float(2**16) * one["scale"] + one["offset"]
        with np.errstate(divide="ignore"):
            depth = 1 / inverse.astype(np.float64) if reliable else np.zeros(stored.shape)
        views[name] = ReadView(K, image["cam_from_world"], depth, folder / "images" / name)
    return views


def read_dn_splatter(folder: Path) -> tuple[dict[str, ReadView], dict[str, NDArray[np.float64]]]:
    """Views by file name, and normals in OpenCV axes: files are paired by their rank among the sorted names."""
    cameras, images = read_colmap_binary(folder / "colmap/sparse/0")
    names = sorted(images)
    depths = sorted((folder / "mono_depth").glob("*_aligned.npy"))
    pictures = sorted((folder / "normals_from_pretrain").glob("*.png"))
    assert len(names) == len(depths) == len(pictures)
    views, normals = {}, {}
    for name, depth, picture in zip(names, depths, pictures, strict=True):
        fx, fy, cx, cy = cameras[images[name]["camera"]][2]
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        views[name] = ReadView(
            K, images[name]["cam_from_world"], np.load(depth).astype(float), folder / "images" / name
        )
        rgb = _image(picture)[..., ::-1]
        assert rgb.dtype == np.uint8
        normals[name] = (2 * rgb.astype(np.float64) / 255 - 1) @ np.diag([1, -1, -1])  # --normal-format opengl
    return views, normals


def read_mvsnet(folder: Path) -> tuple[list[ReadView], list[tuple[float, float]], list[list[int]]]:
    """Views, the range of depth of each, and of each the other views, best first."""
    lines = (folder / "pair.txt").read_text().split("\n")
    count = int(lines[0])
    pairs = []
    for i in range(count):
        assert int(lines[1 + 2 * i]) == i
        listed = lines[2 + 2 * i].split()
        assert len(listed) == 1 + 2 * int(listed[0])
        pairs.append([int(word) for word in listed[1::2]])
    views, ranges = [], []
    for i in range(count):
        rows = [line.split() for line in (folder / f"cams/{i:08d}_cam.txt").read_text().split("\n")]
        assert (rows[0], rows[6]) == (["extrinsic"], ["intrinsic"])  # readers count lines
        pose, K = np.array(rows[1:5], float), np.array(rows[7:10], float)
        first, step, planes, last = map(float, rows[11])
        assert np.isclose(first + step * (planes - 1), last)
        ranges.append((first, last))
        depth = _image(folder / f"depth_est/{i:08d}.pfm").astype(np.float64)
        views.append(ReadView(K, pose, depth, folder / f"images/{i:08d}.jpg"))
    return views, ranges, pairs


def _image(path: Path) -> NDArray[Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def read_colmap_binary(folder: Path) -> tuple[dict[int, Any], dict[str, Any]]:
    """Cameras by id (width, height, parameters of PINHOLE) and images by name (camera, cam_from_world)."""
    cameras: dict[int, Any] = {}
    with (folder / "cameras.bin").open("rb") as file:
        for _ in range(_take(file, "<Q")[0]):
            identity, model, width, height = _take(file, "<iiQQ")
            assert model == 1, "PINHOLE"
            cameras[identity] = (width, height, _take(file, "<4d"))
    images = {}
    with (folder / "images.bin").open("rb") as file:
        for _ in range(_take(file, "<Q")[0]):
            _, *pose, camera = _take(file, "<i7di")
            name = b"".join(iter(lambda: file.read(1), b"\0")).decode()
            (features,) = _take(file, "<Q")
            file.read(24 * features)
            images[name] = {"camera": camera, "cam_from_world": _matrix(*pose)}
    return cameras, images


def read_colmap_points(folder: Path) -> NDArray[np.float64]:
    """(P, 3) positions in points3D.bin, in the order of the file."""
    xyz = []
    with (folder / "points3D.bin").open("rb") as file:
        for _ in range(_take(file, "<Q")[0]):
            _, *point = _take(file, "<Q3d3Bd")
            (length,) = _take(file, "<Q")
            file.read(8 * length)
            xyz.append(point[:3])
        assert file.read() == b""
    return np.array(xyz)


def _matrix(w: float, x: float, y: float, z: float, *t: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = t
    return matrix


@dataclass(frozen=True, eq=False)
class OpenMvs:
    """A scene.mvs with its depth maps by number of the image."""

    views: dict[int, ReadView]
    normals: dict[int, NDArray[np.float32]]
    confidence: dict[int, NDArray[np.float32]]
    neighbours: dict[int, list[int]]
    photos: list[str]
    points: NDArray[np.float64]  # (P, 3)
    seen_by: list[list[int]]


def read_openmvs(folder: Path) -> OpenMvs:
    """As OpenMVS's interface describes it, version 2; camera and pose of a depth map must be those of the scene."""
    with (folder / "scene.mvs").open("rb") as file:
        assert _take(file, "<4sII") == (b"MVSI", 2, 0)
        platforms = [_platform(file) for _ in range(_take(file, "<Q")[0])]
        images = [(_string(file), *_take(file, "<3I")) for _ in range(_take(file, "<Q")[0])]
        points, seen_by = [], []
        for _ in range(_take(file, "<Q")[0]):
            points.append(_take(file, "<3f"))
            seen_by.append([_take(file, "<If")[0] for _ in range(_take(file, "<Q")[0])])
        assert _take(file, "<Q") == (0,)  # normals
        colors = [_take(file, "<3B") for _ in range(_take(file, "<Q")[0])]
        assert len(colors) == len(points)
        assert _take(file, "<3Q") == (0, 0, 0)  # lines
        assert np.array_equal(np.reshape(_take(file, "<16d"), (4, 4)), np.eye(4))
        assert file.read() == b""
    views, normals, confidence, neighbours = {}, {}, {}, {}
    for i, (name, platform, camera, pose) in enumerate(images):
        path = folder / f"depth{i:04d}.dmap"
        if path.is_file():
            views[i], normals[i], confidence[i], neighbours[i] = _depth_map(path, name)
            cameras, poses = platforms[platform]
            width, height, K = cameras[camera]
            assert views[i].depth.shape == (height, width)
            assert np.array_equal(views[i].K, K)
            assert np.array_equal(views[i].cam_from_world, poses[pose])
    photos = [image[0] for image in images]
    return OpenMvs(views, normals, confidence, neighbours, photos, np.array(points), seen_by)


def _platform(file: BinaryIO) -> tuple[list[Any], list[Any]]:
    _string(file)
    cameras = []
    for _ in range(_take(file, "<Q")[0]):
        _string(file)
        width, height = _take(file, "<2I")
        cameras.append((width, height, np.reshape(_take(file, "<9d"), (3, 3))))
        assert np.array_equal(np.reshape(_take(file, "<9d"), (3, 3)), np.eye(3))
        assert _take(file, "<3d") == (0, 0, 0)
    return cameras, [_pose(file) for _ in range(_take(file, "<Q")[0])]


def _pose(file: BinaryIO) -> NDArray[np.float64]:
    """Rotation from world to camera, and the centre in the world."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(_take(file, "<9d"), (3, 3))
    matrix[:3, 3] = -matrix[:3, :3] @ _take(file, "<3d")
    return matrix


def _depth_map(path: Path, photo: str) -> tuple[ReadView, NDArray[np.float32], NDArray[np.float32], list[int]]:
    with path.open("rb") as file:
        magic, content, _, *sizes = _take(file, "<2sBB4I")
        assert (magic, content) == (b"DR", 7)
        low, high = _take(file, "<2f")
        assert sizes[:2] == sizes[2:]
        width, height = sizes[:2]
        assert file.read(_take(file, "<H")[0]).decode() == photo
        ids = _take(file, f"<{_take(file, '<I')[0]}I")
        K = np.reshape(_take(file, "<9d"), (3, 3))
        pose = _pose(file)
        depth = np.frombuffer(file.read(4 * width * height), "<f4").reshape(height, width)
        normals = np.frombuffer(file.read(12 * width * height), "<f4").reshape(height, width, 3)
        confidence = np.frombuffer(file.read(4 * width * height), "<f4").reshape(height, width)
        assert file.read() == b""
    known = depth[depth > 0]
    assert (low, high) == (known.min(), known.max())
    return ReadView(K, pose, depth.astype(np.float64), path.parent / photo, 0.0), normals, confidence, list(ids[1:])


def _string(file: BinaryIO) -> str:
    return file.read(_take(file, "<Q")[0]).decode()


def _take(file: BinaryIO, layout: str) -> Any:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
