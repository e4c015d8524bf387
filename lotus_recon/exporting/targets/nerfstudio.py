"""``--export nerfstudio``: transforms.json with depth and a point cloud, as ``ns-train`` reads it.

Depth is stored in thousandths of the unit of the poses, because the reader's ``depth_unit_scale_factor`` is 0.001
unless the user says otherwise; as float, because 16-bit millimetres would be coarse in small scenes. The reader wants
depth for all frames or for none: a view without depth gets an empty map, which its depth losses leave out. It wants
masks of all frames or of none, too: where one photo has a mask, a photo without gets one that leaves all of it. Masks
are those of the photos, for their colours; where only the depth is unknown, the photo is still to be learnt from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.targets.base import Target
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import write_png
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.transforms import write_transforms
from lotus_recon.workspace import write_atomically, write_json

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

PLY = "points3D.ply"
_PER_UNIT = 1000  # of the reader's default, 0.001
_NOT_MOVED = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]


def write_npy(path: Path, values: NDArray[np.float32]) -> None:
    """Write (H, W) as npy, by rename."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, values)

    write_atomically(path, write)


class _Dataset:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._has_masks = scene.has_masks

    def add(self, view: ExportView) -> str:
        name = view.view.name
        write_npy(self._folder / _depth_file(name), view.depth * np.float32(_PER_UNIT))
        if self._has_masks:
            used = np.ones(view.depth.shape, bool) if view.used is None else view.used
            write_png(self._folder / _mask_file(name), np.where(used, np.uint8(255), np.uint8(0)))
        return view.copy_photo(self._folder, f"images/{name}")

    def finish(self) -> None:
        write_ply(self._folder / PLY, self._scene.cloud)
        views = self._scene.scene.views
        cameras = {view.name: SourceCamera.of_pinhole(view.camera) for view in views}
        path = self._folder / "transforms.json"
        write_transforms(path, cameras, {view.name: view.cam_from_world for view in views}, "images")
        content = json.loads(path.read_text())
        for frame in content["frames"]:
            frame["depth_file_path"] = _depth_file(frame["file_path"])
            if self._has_masks:
                frame["mask_path"] = _mask_file(frame["file_path"])
        # The points are in the frame of these poses: without this line the reader takes another frame, that of its own
        # conversion from COLMAP, where there is a folder colmap/ beside it.
        content |= {"ply_file_path": PLY, "applied_transform": _NOT_MOVED, "applied_scale": 1.0}
        write_json(path, {"camera_model": "OPENCV", **content})


def _depth_file(photo: str) -> str:
    return f"depths/{Path(photo).stem}.npy"


def _mask_file(photo: str) -> str:
    return f"masks/{Path(photo).stem}.png"


TARGET = Target(
    "nerfstudio",
    _Dataset,
    "z-depth, thousandths of the unit of the poses (depth_unit_scale_factor 0.001); 0 is unknown",
)
