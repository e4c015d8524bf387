"""Seconds and memory of texturing 200,000 triangles from photos of 1.5 megapixels, by the number of photos."""

from __future__ import annotations

import subprocess
import sys

_ONE = """
import sys, tempfile, time
from pathlib import Path
import numpy as np
from lotus_recon.texturing import stage
from lotus_recon.texturing.config import AdvancedTexture, TextureConfig
from lotus_recon.types import Camera, Mesh
from tests.texturing import scenes
count = int(sys.argv[1])
camera = Camera.from_fov_deg(50.0, 1536, 1024)
wall = scenes.grid(316)
bumps = 0.02 * np.sin(12 * wall.vertices[:, :1]) * np.cos(9 * wall.vertices[:, 1:2]) * np.float32([[0, 0, 1]])
mesh = scenes.with_normals(Mesh((wall.vertices + bumps).astype(np.float32), wall.triangles, wall.colors))
config = TextureConfig(advanced=AdvancedTexture(max_hole=0.0))
with tempfile.TemporaryDirectory() as folder:
    def run(scene):
        inputs = stage.Inputs(scene.mesh, scene.photos, scene.folder, 0.01)
        (scene.folder / "out").mkdir()
        return stage.run(inputs, config, scene.folder / "out").figures
    run(scenes.write(Path(folder) / "compiled", scenes.views(2)))
    scene = scenes.write(Path(folder) / "scene", scenes.views(count, camera), mesh=mesh)
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, without what it took to make the photos
    started = time.monotonic()
    figures = run(scene)
    seconds = time.monotonic() - started
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1024, figures["page_size"][0], figures["pages"])
"""


def texturing_lines() -> list[str]:
    """The table that ``bench`` prints: the whole stage, files included."""
    lines = ["texture of 199,712 triangles from photos of 1536x1024", "  photos   seconds      peak    texture"]
    for count in (11, 22, 50, 100):
        command = [sys.executable, "-c", _ONE, str(count)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak_mb, side, pages = (float(word) for word in answer.split())
        lines.append(f"  {count:6d}  {seconds:8.1f}  {peak_mb:5.0f} MB   {pages:.0f} x {side:.0f} px")
    return lines


if __name__ == "__main__":
    print("\n".join(texturing_lines()))
