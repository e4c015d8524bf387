"""Seconds and memory of scoring: 654 photos of NYUv2's size, and two clouds of 2 million points.

``python -m tests.benchmarks.bench_evaluation`` prints both. The photos are written once, in NYUv2's layout.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from lotus_recon.io.maps import save_prediction
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction

PHOTOS = 654
DISTINCT = 12  # photos that differ; the others are links to them, and are read and scored like any
POINTS = 2_000_000
_SCORE = """
import sys, time
from pathlib import Path
from lotus_recon.evaluation import maps_job
from lotus_recon.evaluation.config import MapsConfig, SetConfig
from lotus_recon.measuring import peak_memory_mb
root = Path(sys.argv[1])
part = SetConfig(kind="nyuv2", root=root / "nyu", file_list=root / "files.txt")
config = MapsConfig(sets=[part], predictions=root / "maps", workers=2)
started, cpu = time.perf_counter(), time.process_time()
maps_job.run_job(maps_job.check_job("depth", config, root / "out"))
spent = time.perf_counter() - started, time.process_time() - cpu
print(*spent, peak_memory_mb())
"""
_CLOUDS = """
import sys, time
import numpy as np
from lotus_recon.evaluation.surfaces import distances, summary, tolerance_table
from lotus_recon.measuring import peak_memory_mb
def sphere(seed, radius):
    points = np.random.default_rng(seed).standard_normal((int(sys.argv[1]), 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)
one, other = sphere(0, 1.0), sphere(1, 1.001)
started, cpu = time.perf_counter(), time.process_time()
found = distances(one, other)
summary(found), tolerance_table(found, [0.001, 0.002, 0.005])
spent = time.perf_counter() - started, time.process_time() - cpu
print(*spent, peak_memory_mb())
"""


def evaluation_lines() -> list[str]:
    """What ``bench`` prints: one line per measurement, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        scoring = _run(_SCORE, folder)
    return [
        "evaluation, 2 threads (asked: 30 s; 20 s and 2 GB)",
        _line(f"depth scores and images of {PHOTOS} photos of 640x480", scoring),
        _line(f"distances both ways, {POINTS:,} points on each side", _run(_CLOUDS, str(POINTS))),
    ]


def _line(name: str, measured: tuple[float, float, float]) -> str:
    seconds, cpu_seconds, peak_mb = measured
    return f"  {name:54s} {seconds:6.1f} s  {cpu_seconds:6.1f} s CPU  {peak_mb:5.0f} MB"


def write_photos(root: Path) -> None:
    """A set in NYUv2's layout, predictions as a network's: smooth, with noise that compresses as badly as theirs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:480, :640] / 480
    lines = []
    for i in range(PHOTOS):
        names = [f"test/room/{what}_{i:04d}.png" for what in ("rgb", "depth", "filled")]
        lines.append(" ".join(names))
        paths = [root / "nyu" / name for name in names]
        maps = root / f"maps/test/room/rgb_{i:04d}.npz"
        if i >= DISTINCT:
            first = i % DISTINCT
            for path in (*paths, maps):
                path.hardlink_to(path.with_name(path.name.replace(f"{i:04d}", f"{first:04d}")))
            continue
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        depth = 2 + 2 * x + np.sin(3 * y + i) + 0.01 * rng.standard_normal(x.shape)
        cv2.imwrite(str(paths[0]), rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
        for path in paths[1:]:
            cv2.imwrite(str(path), (1000 * depth).astype(np.uint16))
        disparity = (0.3 / depth + 0.1 + 0.01 * rng.standard_normal(x.shape)).astype(np.float32)
        everywhere = np.ones(x.shape, bool)
        normals = np.zeros((480, 640, 3), np.float32)
        normals[..., 2] = -1
        found = DepthMap(disparity, everywhere, DepthKind.AFFINE_DISPARITY)
        save_prediction(maps, Prediction(found, NormalMap(normals, everywhere), {}))
    (root / "files.txt").write_text("\n".join(lines) + "\n")


def _run(code: str, *arguments: str) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak memory in megabytes that a program prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    seconds, cpu_seconds, peak_mb = (float(word) for word in done.stdout.split())
    return seconds, cpu_seconds, peak_mb


if __name__ == "__main__":
    print("\n".join(evaluation_lines()))
