"""nerfstudio ``transforms.json``: poses and cameras of photos, converted here to our conventions.

Its camera axes are OpenGL (x right, y up, z back) and its matrices world-from-camera; pixels count as ours do (first
pixel centre at 0.5). Intrinsics stand in a frame or, for all frames, on top; distortion that is not given is zero.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.outside import matrix, member, number, read_json, text, whole
from lotus_recon.types import MAX_SIDE_PX, FloatArray, check_rigid
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_FISHEYE = "OPENCV_FISHEYE"
# Terms of a distortion that no camera here has; other tools write them, with different meanings.
_FOREIGN_TERM = re.compile(r"k[5-9]|s[1-4]|b[12]|p[3-9]|tau_?[xy]|skew")
# Keys that say nothing about cameras and poses, or are read elsewhere.
_HARMLESS = frozenset(
    {
        "file_path", "transform_matrix", "mask_path", "w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4",
        "p1", "p2", "camera_model", "is_fisheye", "camera_angle_x", "camera_angle_y", "colmap_im_id", "sharpness",
        "aabb_scale", "applied_transform", "applied_scale", "orientation_override", "auto_scale_poses_override",
        "train_filenames", "val_filenames", "test_filenames", "frame_index", "time", "timestamp",
    }
)  # fmt: skip
_CAMERA_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", _FISHEYE)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of the file. ``path`` is absolute and resolved; its suffix may be missing."""

    path: Path
    intrinsics: Mapping[str, Any]  # keys of the frame over those on top
    cam_from_world: NDArray[np.float64]  # (4, 4), OpenCV axes
    label: str  # names file and frame in messages
    mask: Path | None = None  # absolute and resolved; black is not used

    def camera(self, photo_size: tuple[int, int]) -> SourceCamera:
        """Camera of the frame; ``photo_size`` serves files that give a field of view and no size.

        Raises InputError naming the frame and the key that is missing or wrong.
        """
        width, height, *pinhole = self._pinhole(photo_size)
        model = str(self.intrinsics.get("camera_model", _FISHEYE if self.intrinsics.get("is_fisheye") else "OPENCV"))
        if model not in _CAMERA_MODELS:
            raise InputError(f"{self.label}: camera_model {model!r}; allowed: {', '.join(_CAMERA_MODELS)}")
        self._refuse_foreign_terms(model)
        k1, k2, k3, k4, p1, p2 = (self._number(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
        if model == _FISHEYE:
            return self._checked(_FISHEYE, width, height, [*pinhole, k1, k2, k3, k4])
        if k4 != 0:
            raise InputError(
                f"{self.label}: k4 = {k4}: no COLMAP model has this term of a perspective camera; allowed: 0"
            )
        if k3 != 0:
            return self._checked("FULL_OPENCV", width, height, [*pinhole, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0])
        if any((k1, k2, p1, p2)):
            return self._checked("OPENCV", width, height, [*pinhole, k1, k2, p1, p2])
        return self._checked("PINHOLE", width, height, pinhole)

    def _pinhole(self, photo_size: tuple[int, int]) -> tuple[float, ...]:
        """width, height, fx, fy, cx, cy.

        As in instant-ngp, fy is fx, the centre the middle and the size the photo's where they are missing.
        """
        width, height = (self._number(key, size) for key, size in zip(("w", "h"), photo_size, strict=True))
        focals = self._focal("x", width), self._focal("y", height)
        focal_x, focal_y = focals[0] or focals[1], focals[1] or focals[0]
        if focal_x is None or focal_y is None:
            raise InputError(
                f"{self.label}: 'fl_x' is missing, neither in the frame nor on top, as is 'camera_angle_x'"
            )
        cx, cy = self._center("cx", "w", width), self._center("cy", "h", height)
        return width, height, focal_x, focal_y, cx, cy

    def _center(self, key: str, size_key: str, size: float) -> float:
        center = self._number(key, size / 2)
        if self.intrinsics.get(size_key) is None and not size / 4 < center < 3 * size / 4:
            raise InputError(
                f"{self.label}: {key!r} is {center:g}, far from the middle of the {size:g} pixels of its photo, and "
                f"{size_key!r}, which says for what size it is, is missing"
            )
        return center

    def _focal(self, axis: str, size: float) -> float | None:
        if self.intrinsics.get(f"fl_{axis}") is not None:
            return self._number(f"fl_{axis}")
        if self.intrinsics.get(f"camera_angle_{axis}") is not None:
            return float(0.5 * size / np.tan(0.5 * self._number(f"camera_angle_{axis}")))
        return None

    def _refuse_foreign_terms(self, model: str) -> None:
        tangential = ("p1", "p2") if model == _FISHEYE else ()
        for key in self.intrinsics:
            if (key in tangential or _FOREIGN_TERM.fullmatch(key)) and self._number(key, 0.0) != 0:
                raise InputError(
                    f"{self.label}: {key} = {self.intrinsics[key]}: the camera model {model} has no such term; "
                    "allowed: 0, or photos undistorted by the program that wrote the file"
                )

    def _number(self, key: str, default: float | None = None) -> float:
        value = self.intrinsics.get(key)
        value = default if value is None else value  # some write null for what they do not know
        if value is None:
            raise InputError(f"{self.label}: {key!r} is missing, neither in the frame nor on top")
        return number(value, f"{self.label}: {key!r}")

    def _checked(self, model: str, width: float, height: float, params: list[float]) -> SourceCamera:
        try:
            size = [whole(value, key, 1, MAX_SIDE_PX) for key, value in (("w", width), ("h", height))]
            return SourceCamera(model, size[0], size[1], tuple(float(p) for p in params))
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from None


def read_transforms(path: Path) -> list[Frame]:
    """All frames of a transforms.json or a cameras.json.

    Raises InputError naming file, frame and key for what is missing or wrong.
    """
    content = read_json(path, "poses")
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"poses {path}: 'frames' is missing or empty; needed: a list of frames")
    if all(isinstance(frame, dict) and {"file", "w2c"} <= frame.keys() for frame in frames):
        return [_of_camera_list(path, index, frame) for index, frame in enumerate(frames)]
    top = {key: value for key, value in content.items() if key != "frames"}
    found = [_frame(path, index, frame, top) for index, frame in enumerate(frames)]
    unused = sorted({key for frame in found for key in frame.intrinsics} - _HARMLESS)
    unused = [key for key in unused if not _FOREIGN_TERM.fullmatch(key)]
    if unused:
        log.warning("%s: these keys are not used: %s", path, ", ".join(unused))
    return found


def _frame(path: Path, index: int, values: Any, top: Mapping[str, Any]) -> Frame:
    label = f"{path}, frame {index}"
    if not isinstance(values, dict):
        raise InputError(f"{label}: must be an object, not {values!r}")
    for key in ("file_path", "transform_matrix"):
        if key not in values:
            raise InputError(f"{label} ({values.get('file_path', 'no file_path')}): {key!r} is missing")
    label += f" ({values['file_path']})"
    mask = _resolved(path, values["mask_path"], f"{label}: mask_path") if values.get("mask_path") else None
    pose = _cam_from_world(values["transform_matrix"], label)
    photo = _resolved(path, values["file_path"], f"{label}: file_path")
    return Frame(photo, {**top, **values}, pose, label, mask)


def _of_camera_list(path: Path, index: int, values: Mapping[str, Any]) -> Frame:
    """A frame of a cameras.json, half a pixel of whose convention is added here."""
    label = f"{path}, frame {index} ({values['file']})"
    photo = _resolved(path, values["file"], f"{label}: file")
    K = matrix(member(values, "K", label), (3, 3), f"{label}: K")
    if abs(K[0, 1]) > 1e-6 * abs(K[0, 0]):
        raise InputError(f"{label}: K has the skew {K[0, 1]:g}; allowed: 0")
    pose = matrix(values["w2c"], (4, 4), f"{label}: w2c")
    check_rigid(pose, f"{label}: w2c")
    intrinsics = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5, "cy": K[1, 2] + 0.5}
    sizes = {key[0]: values[key] for key in ("width", "height", "w", "h") if key in values}
    return Frame(photo, {**{key: float(value) for key, value in intrinsics.items()}, **sizes}, pose, label)


def _resolved(path: Path, named: Any, where: str) -> Path:
    """A path in the file, relative to it. Windows tools write backslashes; no photo name has one elsewhere."""
    try:
        return (path.parent / text(named, where).replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise InputError(f"{where} cannot be used: {error}") from None


def _cam_from_world(given: Any, label: str) -> NDArray[np.float64]:
    if isinstance(given, list) and len(given) == 3:
        given = [*given, [0, 0, 0, 1]]
    world_from_gl = matrix(given, (4, 4), f"{label}: transform_matrix")
    check_rigid(world_from_gl, f"{label}: transform_matrix")
    # Written with few digits, the rotation is off by rounding: the nearest one keeps the camera centre in place.
    U, _, Vt = np.linalg.svd(world_from_gl[:3, :3])
    world_from_gl[:3, :3] = U @ Vt
    return invert_rigid(world_from_gl @ _OPENCV_FROM_OPENGL)


def write_transforms(
    path: Path, cameras: Mapping[str, SourceCamera], cam_from_world: Mapping[str, FloatArray], photos_folder: str = "."
) -> None:
    """Write cameras and poses (4x4) by photo name; ``photos_folder`` is the image root relative to transforms.json.

    Raises InputError for a camera model that the format does not have.
    """
    frames = []
    for name, pose in cam_from_world.items():
        world_from_gl = invert_rigid(pose) @ _OPENCV_FROM_OPENGL
        file_path = name if photos_folder == "." else f"{photos_folder}/{name}"
        frames.append(
            {"file_path": file_path, **_intrinsics(cameras[name], name), "transform_matrix": world_from_gl.tolist()}
        )
    write_json(path, {"frames": frames})


def _intrinsics(camera: SourceCamera, name: str) -> dict[str, Any]:
    camera = camera.with_two_focals()
    keys = {
        "PINHOLE": (),
        "OPENCV": ("k1", "k2", "p1", "p2"),
        "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3"),
        _FISHEYE: ("k1", "k2", "k3", "k4"),
    }.get(camera.model)
    count = 4 + len(keys or ())
    if keys is None or any(camera.params[count:]):
        raise InputError(f"camera of {name!r}: transforms.json cannot hold the distortion of model {camera.model}")
    values = dict(zip(("fl_x", "fl_y", "cx", "cy", *keys), camera.params[:count], strict=True))
    model = _FISHEYE if camera.model == _FISHEYE else "OPENCV"
    return {"camera_model": model, "w": camera.width, "h": camera.height, **values}
