"""Peak memory of the stages that compare views, for 30 and for 300 views of 1024x768: asked is 1.5 times at most.

``python -m tests.benchmarks.bench_memory [VIEWS ...]`` prints it. A camera moves along a wall above a floor; its maps
are stored, with some depth and normals in the middle rows only: what grows with the number of views shows the more, the
less a stage needs for one of them. A few maps are links to one file; all are read like any.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.geometry.pose import transform
from lotus_recon.io.maps import save_maps
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Scene, SparsePoints, View

COUNTS = (30, 300)
ASKED = 1.5  # times the memory of the fewest views, for the most
STAGES = ("alignment", "consistency", "integration")
CAMERA = Camera.from_fov_deg(60, 1024, 768)
STEP = 0.1  # between two cameras, in metres
WALL_Z, FLOOR_Y = 4.0, 1.2
DISTINCT = 6  # maps that differ
ROWS = slice(370, 430)  # with valid depth
POINTS_PER_METRE = 1500  # of wall and floor: a view sees about a thousand
_RUN = """
import sys
from pathlib import Path
from tests.benchmarks.bench_memory import run_stage
print(*run_stage(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
"""


def memory_lines(counts: tuple[int, ...] = COUNTS) -> list[str]:
    """What ``bench`` prints: one line per stage, each run in a process of its own."""
    lines = [f"peak memory by number of views of {CAMERA.width}x{CAMERA.height} (asked: {ASKED} times at most)"]
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            write_maps(Path(folder) / str(count), count)
        for stage in STAGES:
            measured = [_measured(stage, Path(folder) / str(count), count) for count in counts]
            figures = zip(counts, measured, strict=True)
            peaks = "  ".join(f"{count:4d} views {mb:5.0f} MB {seconds:5.0f} s" for count, (mb, seconds) in figures)
            lines.append(f"  {stage:12s}{peaks}  {measured[-1][0] / measured[0][0]:.2f} times")
    return lines


def _measured(stage: str, root: Path, count: int) -> tuple[float, float]:
    """Peak memory in megabytes and seconds of one stage."""
    command = [sys.executable, "-c", _RUN, stage, str(root), str(count)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(answer[0]), float(answer[1])


def run_stage(name: str, root: Path, count: int) -> tuple[float, float]:
    """Run one stage on stored maps; its peak memory in megabytes, libraries and all, and its seconds."""
    import time

    from lotus_recon.alignment import stage as alignment
    from lotus_recon.alignment.config import AlignmentConfig
    from lotus_recon.config import Runtime
    from lotus_recon.consistency import stage as consistency
    from lotus_recon.consistency.config import ConsistencyConfig
    from lotus_recon.measuring import peak_memory_mb
    from lotus_recon.normal_integration import stage as integration
    from lotus_recon.normal_integration.config import NormalIntegrationConfig

    scene, out, runtime = walk(count), root / name, Runtime(device="cpu")
    none_scored = np.zeros(len(scene.points.xyz), bool)
    out.mkdir()
    started = time.perf_counter()
    if name == "alignment":
        alignment.run(alignment.Inputs(scene, root / "predicted", runtime), AlignmentConfig(), out)
    elif name == "consistency":
        consistency.run(consistency.Inputs(scene, root / "depth", runtime), ConsistencyConfig(), out)
    else:
        inputs = integration.Inputs(scene, root / "depth", root / "predicted", none_scored, runtime)
        # The consensus is asked for: with so many points the stage would leave it out.
        integration.run(inputs, NormalIntegrationConfig(consensus_iterations=1), out)
    return peak_memory_mb(), time.perf_counter() - started


def walk(count: int) -> Scene:
    """Cameras side by side that look at the wall, and points of wall and floor."""
    views = []
    for i in range(count):
        pose = np.eye(4)
        pose[0, 3] = -i * STEP
        views.append(View(f"{i:04d}.jpg", CAMERA, pose))
    rng = np.random.default_rng(0)
    length = count * STEP + 4
    number = int(POINTS_PER_METRE * length)
    x, y, z = rng.uniform(-2, length - 2, number), rng.uniform(-1, FLOOR_Y, number), np.full(number, WALL_Z)
    on_floor = rng.random(number) < 0.3
    y[on_floor], z[on_floor] = FLOOR_Y, rng.uniform(2, WALL_Z, int(on_floor.sum()))
    xyz = np.stack([x, y, z], axis=1)
    seen = [_seen(view, xyz, rng) for view in views]
    points, xy = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    in_view = np.repeat(np.arange(count), [len(rows) for rows, _ in seen])
    rgb = np.zeros((number, 3), np.uint8)
    return Scene(tuple(views), SparsePoints(xyz, rgb, np.full(number, 0.5), points, in_view, xy))


def _seen(
    view: View, xyz: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and pixels of the points that a view sees where its maps are valid, off by half a pixel."""
    xy = project(transform(view.cam_from_world, xyz), view.camera) + 0.5 * rng.standard_normal((len(xyz), 2))
    inside = (xy[:, 0] > 0) & (xy[:, 0] < CAMERA.width) & (xy[:, 1] > ROWS.start) & (xy[:, 1] < ROWS.stop)
    rows = np.flatnonzero(inside)
    return rows, xy[rows]


def write_maps(root: Path, count: int) -> None:
    """Predictions and depth of the views of a walk, a few of them written and the others linked."""
    rays = rays_in_cam(CAMERA)
    with np.errstate(divide="ignore"):
        floor = FLOOR_Y / rays[..., 1]
    truth = np.where(floor > 0, np.minimum(floor, WALL_Z), WALL_Z)
    valid = np.zeros(truth.shape, bool)
    valid[ROWS] = True
    values, known = normals_from_depth(truth, np.ones_like(valid), CAMERA)
    normals = NormalMap(values.astype(np.float32), known & valid)
    y, x = np.mgrid[: CAMERA.height, : CAMERA.width] / CAMERA.width
    for i in range(count):
        paths = [root / folder / f"{i:04d}.npz" for folder in ("predicted", "depth")]
        if i >= DISTINCT:
            for path in paths:
                path.hardlink_to(path.with_name(f"{i % DISTINCT:04d}.npz"))
            continue
        noise = 0.002 * np.random.default_rng(i).standard_normal(truth.shape)
        depth = truth * (1 + 0.02 * np.sin(6 * x + i) * np.cos(4 * y) + noise)
        disparity = DepthMap((0.3 / depth + 0.1).astype(np.float32), valid, DepthKind.AFFINE_DISPARITY)
        save_maps(paths[0], disparity, normals)
        confidence = np.random.default_rng(i).uniform(0.5, 1, truth.shape)
        save_maps(paths[1], DepthMap(depth.astype(np.float32), valid, DepthKind.SCENE), confidence=confidence)


if __name__ == "__main__":
    print("\n".join(memory_lines(tuple(map(int, sys.argv[1:])) or COUNTS)))
