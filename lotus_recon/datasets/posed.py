"""What readers of posed photos share: a list of frames, written as the ``transforms.json`` that ``--poses`` takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.io import transforms
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.outside import matrix, member, read_json, text
from lotus_recon.types import Camera, View


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
        entries = member(read_json(path, "camera list"), "frames", "camera list")
        if not isinstance(entries, list):
            raise InputError("'frames' must be a list")
        return [_frame(path.parent, entry, f"frame {i}", width, height) for i, entry in enumerate(entries)]
    except InputError as error:
        raise InputError(f"{path} is not a camera list with file, K and w2c per frame: {error}") from None


def _frame(root: Path, entry: Any, where: str, width: int, height: int) -> Frame:
    K = matrix(member(entry, "K", where), (3, 3), f"{where}: K")
    K[:2, 2] += 0.5
    photo = root / text(member(entry, "file", where), f"{where}: file")
    cam_from_world = matrix(member(entry, "w2c", where), (4, 4), f"{where}: w2c")
    return Frame(photo, View(photo.name, Camera.from_K(K, width, height), cam_from_world))


def write_transforms(frames: list[Frame], out: Path) -> None:
    """Write ``out`` (a JSON file) in nerfstudio's layout; photos are named relative to it."""
    folder = out.parent.resolve()
    by_path = {Path(os.path.relpath(frame.photo.resolve(), folder)).as_posix(): frame.view for frame in frames}
    cameras = {path: SourceCamera.of_pinhole(view.camera) for path, view in by_path.items()}
    transforms.write_transforms(out, cameras, {path: view.cam_from_world for path, view in by_path.items()})
