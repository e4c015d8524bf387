"""``--export openmvs``: scene.mvs with photos, cameras and sparse points, and a depth map per photo.

The binary layouts are those of OpenMVS's interface (archive "MVSI", version 2: readers take older versions) and of its
raw depth maps ("DR", releases up to 2.3). Its pixel centres have whole coordinates, ours end in a half.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.targets.base import Target
from lotus_recon.types import Camera, Scene, View
from lotus_recon.workspace import write_atomically

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

_VERSION = 2
_HAS_DEPTH, _HAS_NORMALS, _HAS_CONFIDENCE = 1, 2, 4
_NEIGHBOURS = 8  # views listed in a depth map


class _Scene:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._overlap = scene.overlap

    def add(self, view: ExportView) -> str:
        name = view.view.name
        if view.has_depth:
            index = self._scene.scene.index[name]
            scores = self._overlap[index]
            others = [int(j) for j in np.argsort(-scores, kind="stable")[:_NEIGHBOURS] if scores[j] > 0]
            data = depth_map_bytes(view, [index, *others])
            write_atomically(self._folder / f"depth{index:04d}.dmap", lambda part: part.write_bytes(data))
        return view.copy_photo(self._folder, f"images/{name}")

    def finish(self) -> None:
        data = scene_bytes(self._scene.scene)
        write_atomically(self._folder / "scene.mvs", lambda part: part.write_bytes(data))


def intrinsics(camera: Camera) -> NDArray[np.float64]:
    """(3, 3) with the first pixel centre at (0, 0)."""
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    return K


def depth_map_bytes(view: ExportView, ids: list[int]) -> bytes:
    """A .dmap: header, name of the photo, ids of the view and its neighbours, camera; depth, normals, confidence."""
    camera, depth = view.view.camera, view.depth
    size, known = camera.size, depth[depth > 0]
    content = _HAS_DEPTH | _HAS_NORMALS | _HAS_CONFIDENCE
    parts = [
        struct.pack("<2sBx4I2f", b"DR", content, *size, *size, known.min(), known.max()),
        struct.pack("<H", len(photo := f"images/{view.view.name}".encode())) + photo,
        struct.pack(f"<I{len(ids)}I", len(ids), *ids),
        _doubles(intrinsics(camera)) + _doubles(view.view.cam_from_world[:3, :3]) + _doubles(view.view.center_in_world),
        *(np.ascontiguousarray(each, "<f4").tobytes() for each in (depth, view.normals_of_depth, view.confidence)),
    ]
    return b"".join(parts)


def scene_bytes(scene: Scene) -> bytes:
    """A scene.mvs: a platform per camera, its poses, the photos, and the sparse points with the views that see them."""
    cameras = list(dict.fromkeys(view.camera for view in scene.views))
    groups = [[view for view in scene.views if view.camera == camera] for camera in cameras]
    platforms = [_platform(number, group) for number, group in enumerate(groups)]
    images = [_image(view, cameras.index(view.camera), groups[cameras.index(view.camera)]) for view in scene.views]
    colors = [color.tobytes() for color in scene.points.rgb]
    nothing = _array([])
    return b"".join(
        [
            struct.pack("<4sII", b"MVSI", _VERSION, 0),
            _array(platforms) + _array(images) + _array(_points(scene)),
            nothing + _array(colors),  # normals and colours of the points
            nothing * 3,  # lines, their normals and colours
            _doubles(np.eye(4)),
        ]
    )


def _platform(number: int, views: list[View]) -> bytes:
    """Name, one camera that sits in the platform's origin, and the poses of the platform."""
    camera = views[0].camera
    lens = _text("camera") + struct.pack("<2I", *camera.size) + _doubles(intrinsics(camera))
    poses = [_doubles(view.cam_from_world[:3, :3]) + _doubles(view.center_in_world) for view in views]
    return _text(f"platform {number}") + _array([lens + _doubles(np.eye(3)) + _doubles(np.zeros(3))]) + _array(poses)


def _image(view: View, platform: int, group: list[View]) -> bytes:
    """File, platform, its only camera, and which of its poses."""
    pose = next(number for number, other in enumerate(group) if other is view)
    return _text(f"images/{view.name}") + struct.pack("<3I", platform, 0, pose)


def _points(scene: Scene) -> list[bytes]:
    """Position and views of each sparse point; OpenMVS wants the views sorted."""
    points = scene.points
    order = np.lexsort((points.obs_view, points.obs_point))
    starts = np.searchsorted(points.obs_point[order], np.arange(len(points.xyz) + 1))
    seen = points.obs_view[order]
    return [
        np.asarray(points.xyz[i], "<f4").tobytes() + _array([struct.pack("<If", j, 0.0) for j in seen[start:end]])
        for i, (start, end) in enumerate(itertools.pairwise(starts))
    ]


def _array(items: list[bytes]) -> bytes:
    return struct.pack("<Q", len(items)) + b"".join(items)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _doubles(values: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(values, "<f8").tobytes()


TARGET = Target("OpenMVS", _Scene, "z-depth, unit of the poses; 0 is unknown")
