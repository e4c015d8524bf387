"""Opens this folder in Blender: blender --python open_in_blender.py

Every photo has a camera with its lens, and is its background image. Runs inside Blender, beside scene.glb.
"""

import json
from pathlib import Path
from typing import Any

import bpy

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Import the mesh and the cameras into an empty scene; the first camera is the active one."""
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(FOLDER / "scene.glb"))
    cameras = json.loads((FOLDER / "cameras.json").read_text())["cameras"]
    for camera in cameras:
        set_lens(bpy.data.objects[camera["name"]].data, camera)
    look_through(cameras[0])


def set_lens(data: Any, camera: dict[str, Any]) -> None:
    """Give a camera its lens, and its photo as background."""
    data.sensor_fit, data.sensor_width = "HORIZONTAL", camera["sensor_width"]
    data.lens, data.shift_x, data.shift_y = camera["lens"], camera["shift_x"], camera["shift_y"]
    data.clip_start, data.clip_end = camera["clip"]
    data.show_background_images = True
    background = data.background_images.new()
    background.image = bpy.data.images.load(str(FOLDER / camera["photo"]))
    background.display_depth, background.alpha = "FRONT", 0.5


def look_through(camera: dict[str, Any]) -> None:
    """Make a camera the active one, and render at the size of its photo."""
    scene = bpy.context.scene
    scene.camera = bpy.data.objects[camera["name"]]
    scene.render.resolution_x, scene.render.resolution_y = camera["resolution"]
    scene.render.resolution_percentage = 100
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = camera["pixel_aspect"]


if __name__ == "__main__":
    main()
