"""``--export colmap``: a dense workspace, as COLMAP's image_undistorter and patch_match_stereo leave it.

COLMAP's fusion takes the depth of a pixel for that of its upper left corner: it puts it on the ray through (column,
row), while the principal point counts from the corner of the photo. So each depth is moved to that corner along the
plane of its normal; left at the centre, fused points would be off by half a pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.targets.base import Target
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.io.cameras import write_colmap_scene
from lotus_recon.workspace import write_atomically

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

_STEEPEST = 0.05  # relative change of depth over half a pixel; more is no surface that was seen
_SOURCES = 20  # photos per view in patch-match.cfg, should the user run COLMAP's own stereo as well


def write_array(path: Path, values: NDArray[np.float32]) -> None:
    """Write (H, W) or (H, W, C) as COLMAP does: ``width&height&channels&`` in ASCII, then float32 plane by plane."""
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    channels, height, width = planes.shape
    data = f"{width}&{height}&{channels}&".encode() + np.ascontiguousarray(planes, "<f4").tobytes()
    write_atomically(path, lambda part: part.write_bytes(data))


def at_corners(view: ExportView) -> NDArray[np.float32]:
    """(H, W) the depth at the upper left corner of each pixel, on the plane through its centre; 0 where unknown."""
    normals, camera = view.normals_of_depth, view.view.camera
    at_centre = np.einsum("hwi,hwi->hw", normals, rays_in_cam(camera).astype(np.float32))
    at_corner = at_centre - 0.5 / camera.fx * normals[..., 0] - 0.5 / camera.fy * normals[..., 1]
    ratio = np.divide(at_centre, at_corner, out=np.ones_like(at_corner), where=at_corner != 0)
    return np.asarray(view.depth * np.clip(ratio, 1 - _STEEPEST, 1 + _STEEPEST), np.float32)


class _Workspace:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._with_depth: set[str] = set()

    def add(self, view: ExportView) -> str:
        name, stereo = view.view.name, self._folder / "stereo"
        photo = view.copy_photo(self._folder, f"images/{name}")
        if view.has_depth:
            write_array(stereo / f"depth_maps/{name}.geometric.bin", at_corners(view))
            write_array(stereo / f"normal_maps/{name}.geometric.bin", view.normals_of_depth)
            self._with_depth.add(name)
        return photo

    def finish(self) -> None:
        write_colmap_scene(self._scene.scene, self._folder / "sparse")
        stereo = self._folder / "stereo"
        (stereo / "consistency_graphs").mkdir(parents=True, exist_ok=True)  # COLMAP lists it, also when it is empty
        names = [view.name for view in self._scene.scene.views]
        pairs = [f"{name}\n__auto__, {_SOURCES}\n" for name in names]
        (stereo / "fusion.cfg").write_text("".join(f"{name}\n" for name in names if name in self._with_depth))
        (stereo / "patch-match.cfg").write_text("".join(pairs))


TARGET = Target(
    "COLMAP (dense workspace)",
    _Workspace,
    "z-depth at the upper left corner of the pixel, unit of the poses; 0 is unknown",
)
