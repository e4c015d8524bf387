"""``--export blender``: the mesh and a camera per photo in a GLB, and a script that sets up what a GLB cannot hold.

glTF's cameras have a field of view and nothing else; the script gives each camera in Blender its lens, shift and clip
range, and its photo as background image. Blender's axes are those of the poses.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lotus_recon.exporting.targets.base import Target
from lotus_recon.io.meshes import read_mesh, write_glb
from lotus_recon.types import View
from lotus_recon.workspace import write_json

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView

# Blender reads glTF's (x, y, z) as (x, -z, y): what is written turned by this has the axes of the poses in Blender.
GLTF_FROM_WORLD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_SCRIPT = Path(__file__).resolve().parents[1] / "blender_script.py"  # imports Blender's module, so it is not imported
_BEYOND = 2.0  # the far end of the clip range, in distances of the farthest vertex from a camera


class _Scene:
    def __init__(self, scene: ExportScene, folder: Path) -> None:
        self._scene, self._folder = scene, folder

    def add(self, view: ExportView) -> str:
        return view.copy_photo(self._folder, f"images/{view.view.name}")

    def finish(self) -> None:
        mesh, views = read_mesh(self._scene.mesh_file), self._scene.scene.views
        corners = np.array([mesh.vertices.min(0), mesh.vertices.max(0)])
        reach = max(float(np.abs(corners - view.center_in_world).max()) for view in views)
        far = _BEYOND * np.sqrt(3) * reach
        write_glb(self._folder / "scene.glb", mesh, GLTF_FROM_WORLD, views, far)
        write_json(self._folder / "cameras.json", {"cameras": [lens_of(view, far) for view in views]})
        shutil.copyfile(_SCRIPT, self._folder / "open_in_blender.py")


def lens_of(view: View, far: float) -> dict[str, Any]:
    """A camera in Blender's terms: lens in millimetres of a sensor 36 wide, shift in widths of the sensor."""
    camera = view.camera
    stretch = camera.fx / camera.fy  # height of a pixel, in its widths
    return {
        "name": view.name,
        "photo": f"images/{view.name}",
        "resolution": camera.size,
        "sensor_width": 36.0,
        "lens": 36.0 * camera.fx / camera.width,
        "shift_x": 0.5 - camera.cx / camera.width,
        "shift_y": (camera.cy - camera.height / 2) / camera.width * stretch,
        "pixel_aspect": [max(1.0, 1 / stretch), max(1.0, stretch)],
        "clip": [1e-4 * far, far],
    }


TARGET = Target("Blender", _Scene, "none; the mesh has the unit and the axes of the poses")
