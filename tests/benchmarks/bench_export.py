"""Time and memory of the dense cloud and of the export: ``python -m tests.benchmarks.bench_export``.

Ten renders with noise serve a hundred cameras on an arc: what is measured is not whether they agree. Every map is a
file of its own. Asked of the export of 100 views of 1024x768: one gigabyte and 60 seconds on two cores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lotus_recon.io.cameras import read_colmap_scene, write_colmap_scene
from lotus_recon.io.images import write_jpeg
from lotus_recon.io.meshes import write_ply
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.measuring import peak_memory_mb
from lotus_recon.synthetic.arrangement import arc_of_poses
from lotus_recon.synthetic.renderer import Quality, RayRenderer, SyntheticView
from lotus_recon.synthetic.sample import sample_arrangement
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh, Scene, SparsePoints, View

COUNT, DISTINCT = 100, 10
CAMERA = Camera(1024, 768, 950, 950, 512, 384)
POINTS, TRACK = 20_000, 8
_RUN = """
import sys
from pathlib import Path
from tests.benchmarks.bench_export import measured
print(*measured(sys.argv[1], Path(sys.argv[2])))
"""


def export_lines() -> list[str]:
    """What ``bench`` prints: the cloud, and all targets in one pass, in processes of their own."""
    from lotus_recon.exporting.targets import TARGETS

    lines = [f"{COUNT} views of {CAMERA.width}x{CAMERA.height} (asked of the export: 1000 MB, 60 s on 2 cores)"]
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder))
        for what in ("cloud", ",".join(TARGETS)):
            command = [sys.executable, "-c", _RUN, what, folder]
            seconds, cpu, memory = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
            name = "all targets" if "," in what else what
            lines.append(f"  {name:12s} {float(seconds):6.1f} s  {float(cpu):6.1f} s CPU  {float(memory):6.0f} MB")
    return lines


def measured(what: str, root: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory in megabytes of the cloud or of an export."""
    from lotus_recon.exporting import stage
    from lotus_recon.exporting.scene import ExportScene, Folders
    from lotus_recon.fusion import cloud
    from lotus_recon.fusion.cloud_config import CloudConfig
    from lotus_recon.fusion.config import FusionConfig
    from lotus_recon.fusion.views import FusionViews

    scene = read_colmap_scene(root / "sparse")
    started, cpu = time.monotonic(), time.process_time()
    if what == "cloud":
        views = FusionViews(scene, root / "consistency", root / "images", 0.0)
        cloud.run(views, False, CloudConfig(), FusionConfig(), root)
    else:
        out = root / what.replace(",", "-")
        out.mkdir()
        folders = Folders(*(root / name for name in ("images", "consistency", "mvs", "prediction")))
        stage.run(ExportScene(scene, folders, root / "dense.ply", root / "mesh.ply"), what.split(","), out)
    return time.monotonic() - started, time.process_time() - cpu, peak_memory_mb()


def write_run(root: Path) -> None:
    """What the stages before the export would leave."""
    poses = arc_of_poses(np.array([-0.12, 0.12, 0.44]), 2.35, 0.72, np.linspace(-92, 2, COUNT))
    views = tuple(View(f"view_{i:03}.jpg", CAMERA, pose) for i, pose in enumerate(poses))
    renderer, rng = RayRenderer(sample_arrangement(), Quality(1, 0)), np.random.default_rng(0)
    for number, view in enumerate(views):
        if number % (COUNT // DISTINCT) == 0:
            rendered = renderer.render(CAMERA, view.cam_from_world)
        _write_view(root, view, rendered, rng)
    surface = sample_arrangement().mesh
    colors = np.full((len(surface.vertices), 3), 128, np.uint8)
    write_ply(root / "mesh.ply", Mesh(surface.vertices, surface.triangles, colors))
    write_colmap_scene(Scene(views, _points(rng)), root / "sparse")


def _write_view(root: Path, view: View, rendered: SyntheticView, rng: np.random.Generator) -> None:
    write_jpeg(root / "images" / view.name, rendered.rgb, 92)
    noise = 1 + 1e-3 * rng.standard_normal(rendered.depth.shape)
    depth = DepthMap((rendered.depth.values * noise).astype(np.float32), rendered.depth.valid, DepthKind.SCENE)
    confidence = rng.random(depth.shape).astype(np.float32)
    SceneMaps(root / "consistency").save(view, depth, confidence)
    SceneMaps(root / "mvs").save(view, depth, confidence, rendered.normals)
    SceneMaps(root / "prediction").save(view, normals=rendered.normals)


def _points(rng: np.random.Generator) -> SparsePoints:
    first = np.repeat(rng.integers(0, COUNT, POINTS), TRACK)
    views = (first + np.tile(np.arange(TRACK), POINTS)) % COUNT
    xy = rng.random((len(views), 2)) * CAMERA.size
    points = np.repeat(np.arange(POINTS), TRACK)
    return SparsePoints(
        rng.normal(size=(POINTS, 3)), np.zeros((POINTS, 3), np.uint8), np.zeros(POINTS), points, views, xy
    )


if __name__ == "__main__":
    print("\n".join(export_lines()))
