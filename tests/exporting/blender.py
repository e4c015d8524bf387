"""Blender as a Python module, where there is one: it needs an older NumPy than this package, so a Python of its own.

``LOTUS_RECON_BLENDER_PYTHON`` names it: ``python -m venv blender && blender/bin/pip install bpy``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_OPEN = """
import importlib.util, json, sys
import bpy
spec = importlib.util.spec_from_file_location("opened", sys.argv[1])
opened = importlib.util.module_from_spec(spec)
spec.loader.exec_module(opened)
opened.main()
"""
_LIST = """
objects = [o for o in bpy.data.objects if o.type == "CAMERA"]
scene, shown = bpy.context.scene, {}
for o in objects:
    d = o.data
    shown[o.name] = {
        "matrix": [list(row) for row in o.matrix_world], "lens": d.lens, "sensor_width": d.sensor_width,
        "sensor_fit": d.sensor_fit, "shift": [d.shift_x, d.shift_y], "clip": [d.clip_start, d.clip_end],
        "photo": bpy.path.abspath(d.background_images[0].image.filepath),
        "size": list(d.background_images[0].image.size),
    }
print("CAMERAS" + json.dumps({"cameras": shown, "active": scene.camera.name}))
"""
_RENDER = """
cameras = {c["name"]: c for c in json.loads((opened.FOLDER / "cameras.json").read_text())["cameras"]}
opened.look_through(cameras[sys.argv[2]])
scene = bpy.context.scene
scene.render.engine, scene.cycles.device = "CYCLES", "CPU"
scene.cycles.samples, scene.cycles.use_denoising = 16, False
scene.view_settings.view_transform = "Standard"
scene.render.filepath, scene.render.image_settings.file_format = sys.argv[3], "PNG"
bpy.ops.render.render(write_still=True)
"""
LIST, RENDER = _OPEN + _LIST, _OPEN + _RENDER


def blender_python() -> str | None:
    """A Python that can import bpy; None where there is none."""
    python = os.environ.get("LOTUS_RECON_BLENDER_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import bpy"], capture_output=True, check=False)
    return python if found.returncode == 0 else None


def in_blender(code: str, script: Path, *arguments: str) -> str:
    """What ``code`` prints; the test is skipped where Blender's module is not there."""
    python = blender_python()
    if python is None:
        pytest.skip("no Python with bpy (LOTUS_RECON_BLENDER_PYTHON)")
    done = subprocess.run([python, "-c", code, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
