"""A sequence of 7-Scenes (Shotton et al., CVPR 2013): Kinect depth with poses by KinectFusion, in metres.

Facts: ``frame-NNNNNN.color.jpg``, ``.depth.png`` (16-bit millimetres, 0 and 65535 invalid) and ``.pose.txt``
(camera-to-world, OpenCV axes) in one folder; ``camera-intrinsics.txt`` is the K of the depth camera, pixel centres at
integers. Colour and depth are not registered: beside these poses and depths colour serves for looks only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.images import read_png16
from lotus_recon.io.maps import save_prediction
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, Prediction, View

SIZE = (640, 480)
INVALID_MM = (0, 65535)
_COLOR, _DEPTH, _POSE = ".color.jpg", ".depth.png", ".pose.txt"


def frames(source: Path, photos: Path | None = None) -> list[Frame]:
    """All posed photos, as they are named by ``write_photos`` in the folder ``photos`` (default: where they are)."""
    K = _read_matrix(source / "camera-intrinsics.txt", (3, 3))
    K[:2, 2] += 0.5
    camera = Camera.from_K(K, *SIZE)
    return [_frame(path, camera, photos) for path in sorted(source.glob(f"*{_POSE}"))]


def _frame(pose_file: Path, camera: Camera, photos: Path | None) -> Frame:
    stem = pose_file.name.removesuffix(_POSE)
    photo = photos / f"{stem}.jpg" if photos else pose_file.with_name(stem + _COLOR)
    cam_from_world = invert_rigid(_orthonormal(_read_matrix(pose_file, (4, 4))))
    return Frame(photo, View(f"{stem}.jpg", camera, cam_from_world))


def _orthonormal(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pose with its rotation, which was stored with few digits, made orthonormal."""
    U, _, Vt = np.linalg.svd(pose[:3, :3])
    clean = pose.copy()
    clean[:3, :3] = U @ Vt
    return clean


def _read_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        matrix = np.loadtxt(path, dtype=np.float64).reshape(shape)
        if not np.isfinite(matrix).all():
            raise ValueError("not all of its numbers are finite")
        return matrix
    except (OSError, ValueError) as error:
        raise InputError(f"{path} does not hold a {shape[0]}x{shape[1]} matrix: {error}") from error


def sensor_depth(source: Path, stem: str) -> tuple[NDArray[np.float32], BoolArray]:
    """Depth in metres (H, W) of frame ``stem`` and where the sensor saw something."""
    millimetres = read_png16(source / f"{stem}{_DEPTH}")
    return np.asarray(millimetres / 1000, np.float32), ~np.isin(millimetres, INVALID_MM)


def write_photos(source: Path, out: Path) -> None:
    """Copy the colour photos to the folder ``out`` as ``frame-NNNNNN.jpg``, away from the depth images beside them."""
    out.mkdir(parents=True, exist_ok=True)
    for photo in sorted(source.glob(f"*{_COLOR}")):
        shutil.copyfile(photo, out / (photo.name.removesuffix(_COLOR) + ".jpg"))


def write_poses(source: Path, out: Path, photos: Path | None = None) -> None:
    """Write the given poses as the ``transforms.json`` file ``out``, for the photos in the folder ``photos``."""
    write_transforms(frames(source, photos), out)


def write_predictions(source: Path, out: Path) -> None:
    """Write sensor depth as METRIC predictions ``out/<view>.npz``."""
    for frame in frames(source):
        depth, valid = sensor_depth(source, frame.view.stem)
        prediction = Prediction(DepthMap(depth, valid, DepthKind.METRIC), None, {"model": "sensor"})
        save_prediction(out / f"{frame.view.stem}.npz", prediction)
