"""What readers of posed photos share: a list of frames, written as the ``transforms.json`` that ``--poses`` takes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.types import Camera, View
from lotus_recon.workspace import write_json

# nerfstudio axes are OpenGL (x right, y up, z back), ours OpenCV (x right, y down, z forward).
_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Frame:
    """A photo on disk and its posed camera (first pixel centre at 0.5)."""

    photo: Path
    view: View


def read_camera_list(path: Path, width: int, height: int) -> list[Frame]:
    """Frames of a ``cameras.json``: per frame ``file``, ``K`` with integer pixel centres, and ``w2c`` in OpenCV axes.

    The half pixel between that convention and ours is added here. Raises InputError when the file cannot be used.
    """
    try:
        entries = json.loads(path.read_text())["frames"]
        return [_frame(path.parent, entry, width, height) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a camera list with file, K and w2c per frame: {error}") from error


def _frame(root: Path, entry: dict[str, Any], width: int, height: int) -> Frame:
    K = np.array(entry["K"], np.float64)
    K[:2, 2] += 0.5
    photo = root / entry["file"]
    return Frame(photo, View(photo.name, Camera.from_K(K, width, height), np.array(entry["w2c"], np.float64)))


def write_transforms(frames: list[Frame], out: Path) -> None:
    """Write ``out`` (a JSON file) in nerfstudio's layout; photos are named relative to it."""
    folder = out.parent.resolve()
    write_json(out, {"camera_model": "OPENCV", "frames": [_transform(frame, folder) for frame in frames]})


def _transform(frame: Frame, folder: Path) -> dict[str, Any]:
    camera = frame.view.camera
    world_from_cam = invert_rigid(frame.view.cam_from_world) @ _OPENCV_FROM_OPENGL
    return {
        "file_path": Path(os.path.relpath(frame.photo.resolve(), folder)).as_posix(),
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "transform_matrix": world_from_cam.tolist(),
    }
