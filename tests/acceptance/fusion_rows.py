"""Acceptance of fusion on redkitchen: the surface, time and memory of the stage beside a plain VoxelBlockGrid loop.

Each measurement is a process of its own (``python -m tests.acceptance.fusion_rows plain|stage DATA OUT``), so that peak
memory belongs to it alone. The machine may be busy: the runs alternate and the fastest of each counts, because other
work only ever adds to the time of a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.images import read_png16
from lotus_recon.io.maps import save_prediction
from lotus_recon.types import Camera, DepthKind, DepthMap, Prediction, Scene, SparsePoints, View
from tests.acceptance.plain_tsdf import MaskedMap, plain_loop
from tests.acceptance.rows import Row

RUN = "redkitchen_7scenes"
VOXEL_SIZE = 0.01  # metres
_PLAIN_BLOCKS = 4000  # room by hand, so that the plain loop need not grow while it runs
_MAX_DEPTH = 10.0  # metres


def read_scene(data: Path) -> Scene:
    """The 100 frames of the data set with their given poses. Its K has the first pixel centre at (0, 0)."""
    K = np.loadtxt(data / "camera-intrinsics.txt")
    camera = Camera(640, 480, K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5)
    views = []
    for path in sorted(data.glob("*.color.jpg")):
        pose = np.loadtxt(data / path.name.replace("color.jpg", "pose.txt"))
        views.append(View(path.name, camera, invert_rigid(pose)))
    return Scene(tuple(views), SparsePoints.empty(), metric=True)


def write_depth_maps(data: Path, scene: Scene, depth_dir: Path) -> None:
    """The sensor depth as METRIC predictions; 0 and 65535 are no measurement."""
    for view in scene.views:
        stored = read_png16(data / view.name.replace("color.jpg", "depth.png"))
        valid = (stored > 0) & (stored < 65535)
        depth = DepthMap((stored / 1000).astype(np.float32), valid, DepthKind.METRIC)
        save_prediction(depth_dir / f"{view.stem}.npz", Prediction(depth, None, {}))


def run_plain(data: Path, work: Path) -> dict[str, float]:
    """The loop of Open3D's documentation, written out as a mesh."""
    import open3d

    def maps() -> Iterator[MaskedMap]:
        for view in read_scene(data).views:
            with np.load(work / "depth" / f"{view.stem}.npz") as arrays:
                values = np.where(arrays["depth_valid"], arrays["depth"], np.float32(0))
            yield view, values, np.asarray(Image.open(data / view.name).convert("RGB"))

    mesh = plain_loop(maps(), VOXEL_SIZE, _MAX_DEPTH, _PLAIN_BLOCKS)
    open3d.t.io.write_triangle_mesh(work / "plain.ply", mesh)
    return {}


def run_stage(data: Path, work: Path) -> dict[str, float]:
    """Our stage, cleaning and both mesh files included; returns its estimate of the memory in megabytes."""
    from lotus_recon.fusion import stage
    from lotus_recon.fusion.config import FusionConfig
    from lotus_recon.fusion.volume_config import TsdfConfig

    out = work / "stage"
    out.mkdir(exist_ok=True)
    inputs = stage.Inputs(read_scene(data), work / "depth", data, backend_options=TsdfConfig(voxel_size=VOXEL_SIZE))
    result = stage.run(inputs, FusionConfig(), out)
    return {"estimated_mb": result.figures["estimated_memory_mb"]}


@dataclass(frozen=True)
class Measured:
    """One run in a process of its own."""

    seconds: float
    cpu_seconds: float
    added_mb: float  # peak of resident memory above what the libraries took before
    estimated_mb: float


def measure(what: str, data: Path, work: Path) -> Measured:
    """Run "plain" or "stage" once in a new process. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "tests.acceptance.fusion_rows", what, str(data), str(work)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _measured_run(run: Callable[[Path, Path], dict[str, float]], data: Path, work: Path) -> Measured:
    import trimesh  # noqa: F401  libraries are loaded before the clock and the memory start to count

    from lotus_recon.fusion import stage, volume_integration  # noqa: F401
    from lotus_recon.fusion.memory import resident_bytes
    from lotus_recon.measuring import peak_memory_mb

    before_mb = resident_bytes() / 2**20
    start, cpu_start = time.perf_counter(), time.process_time()
    figures = run(data, work)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return Measured(seconds, cpu_seconds, peak_memory_mb() - before_mb, figures.get("estimated_mb", 0.0))


@dataclass(frozen=True)
class Comparison:
    """Pairs of runs, plain and ours."""

    pairs: list[tuple[Measured, Measured]]

    def ratio(self, name: str) -> float:
        """A figure of our best run to that of the best plain run."""
        plain, ours = (min(getattr(pair[which], name) for pair in self.pairs) for which in (0, 1))
        return float(ours / plain)


def compare(data: Path, work: Path, n_pairs: int) -> Comparison:
    """Run both ``n_pairs`` times, the order alternating; the meshes stay in ``work``."""
    write_depth_maps(data, read_scene(data), work / "depth")
    pairs = []
    for i in range(n_pairs):
        order = ("plain", "stage") if i % 2 == 0 else ("stage", "plain")
        done = {what: measure(what, data, work) for what in order}
        pairs.append((done["plain"], done["stage"]))
    return Comparison(pairs)


def redkitchen_rows(shared: Path, n_pairs: int = 5) -> list[Row]:
    """The rows of the redkitchen run in the acceptance table."""
    from lotus_recon.evaluation.metrics import mesh_metrics
    from lotus_recon.io.meshes import read_mesh

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        result = compare(shared / "data" / RUN, work, n_pairs)
        ours, plain = read_mesh(work / "stage" / "mesh.ply"), read_mesh(work / "plain.ply")
        scores = mesh_metrics(ours, plain, VOXEL_SIZE)
    peaks = [ours.added_mb for _, ours in result.pairs]
    estimate = result.pairs[0][1].estimated_mb
    time_ratio, cpu_ratio = result.ratio("seconds"), result.ratio("cpu_seconds")
    seconds = time.monotonic() - started
    return [
        Row(
            RUN,
            "F-score at 1 cm, fusion alone",
            f"{scores['fscore']:.4f}",
            ">= 0.99",
            scores["fscore"] >= 0.99,
            seconds,
        ),
        Row(
            RUN,
            "time / plain VoxelBlockGrid loop",
            f"{time_ratio:.2f} (CPU {cpu_ratio:.2f})",
            "<= 1.25",
            time_ratio <= 1.25,
        ),
        Row(RUN, "peak memory", f"{max(peaks):.0f} MB", f"<= estimate, {estimate:.0f} MB", max(peaks) <= estimate),
        Row(RUN, "estimate / peak memory", f"{estimate / min(peaks):.2f}", "<= 1.5", estimate <= 1.5 * min(peaks)),
    ]


if __name__ == "__main__":
    from dataclasses import asdict

    runs = {"plain": run_plain, "stage": run_stage}
    print(json.dumps(asdict(_measured_run(runs[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3])))))
