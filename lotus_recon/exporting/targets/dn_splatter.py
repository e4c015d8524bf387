"""``--export dn-splatter``: photos, COLMAP model, aligned depth and normals, as dn-splatter's ``coolermap`` reads them.

It starts from the points of the COLMAP model, so these are the sparse ones and those of the dense cloud.

It pairs photos, depth and normals by their rank among sorted names, sorted in more than one way, so photos are
numbered. Depth is float in the unit of the poses. Normals are 8-bit PNG in OpenGL camera axes (x right, y up, z back),
which ``--normal-format`` ``opengl`` (``omnidata`` in newer versions) turns to OpenCV's; npy would be divided by 255
as well.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.targets.base import Target
from lotus_recon.exporting.targets.nerfstudio import write_npy
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.points import seen_points
from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.io.images import write_png
from lotus_recon.io.meshes import PointCloud
from lotus_recon.types import NormalMap, Scene, SparsePoints

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

OPENGL_FROM_OPENCV = np.array([1, -1, -1], np.float32)


class _Dataset:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._folder, self._whole = folder, scene
        self._scene = numbered(scene.scene)
        self._index = scene.scene.index

    def add(self, view: ExportView) -> str:
        index = self._index[view.view.name]
        name = self._scene.views[index].name
        stem = Path(name).stem
        write_npy(self._folder / f"mono_depth/{stem}_aligned.npy", view.depth)
        write_npy(self._folder / f"sfm_depths/{stem}.npy", sparse_depth(self._scene, index))
        write_png(self._folder / f"normals_from_pretrain/{stem}.png", coded_normals(view.normals))
        return view.copy_photo(self._folder, f"images/{name}")

    def finish(self) -> None:
        points = with_cloud(self._scene.points, self._whole.cloud)
        write_colmap_scene(replace(self._scene, points=points), self._folder / "colmap" / "sparse" / "0")


def numbered(scene: Scene) -> Scene:
    """The scene with views named frame_00001 and so on, in the order in which it has them."""
    names = [f"frame_{number:05d}{Path(view.name).suffix}" for number, view in enumerate(scene.views, 1)]
    return replace(scene, views=tuple(replace(view, name=n) for view, n in zip(scene.views, names, strict=True)))


def with_cloud(points: SparsePoints, cloud: PointCloud) -> SparsePoints:
    """Sparse points and those of a cloud, which have no observations."""
    added = len(cloud.points)
    rgb = np.zeros((added, 3), np.uint8) if cloud.colors is None else cloud.colors
    return replace(
        points,
        xyz=np.concatenate([points.xyz, cloud.points.astype(np.float64)]),
        rgb=np.concatenate([points.rgb, rgb]),
        error_px=np.concatenate([points.error_px, np.zeros(added)]),
    )


def sparse_depth(scene: Scene, index: int) -> NDArray[np.float32]:
    """(H, W) depth of the sparse points that a view sees, 0 elsewhere."""
    width, height = scene.views[index].camera.size
    xy, z = seen_points(scene, index, np.ones(len(scene.points.xyz), bool))
    depth = np.zeros((height, width), np.float32)
    depth[pixel_index(xy, height, width)] = z
    return depth


def coded_normals(normals: NormalMap) -> NDArray[np.uint8]:
    """(H, W, 3) normals in OpenGL camera axes as (n + 1) / 2 in 8 bits; no direction where they are unknown."""
    values = np.where(normals.valid[..., None], normals.values * OPENGL_FROM_OPENCV, 0)
    return np.rint((values + 1) * np.float32(255 / 2)).astype(np.uint8)


TARGET = Target(
    "dn-splatter (coolermap)",
    _Dataset,
    "z-depth, unit of the poses; 0 is unknown. Normals: (n + 1) / 2 in 8 bits, OpenGL camera axes",
)
