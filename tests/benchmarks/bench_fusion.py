"""Fusion beside a plain VoxelBlockGrid loop, in the same run: ``python -m tests.benchmarks.bench_fusion SHARED``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.acceptance.fusion_rows import RUN, Comparison, Measured, compare


def fusion_lines(shared: Path, n_pairs: int = 3) -> list[str]:
    """What ``bench`` prints of fusion: both runs' medians and the ratios of the pairs."""
    with tempfile.TemporaryDirectory() as folder:
        result = compare(shared / "data" / RUN, Path(folder), n_pairs)
    return [
        f"fusion of {RUN}, 100 frames, 1 cm voxels, median of {n_pairs} pairs of runs",
        _line("plain VoxelBlockGrid loop", result, 0),
        _line("fusion stage, cleaned, PLY and GLB", result, 1),
        f"  ratio: time {result.median_ratio('seconds'):.2f}, CPU time {result.median_ratio('cpu_seconds'):.2f}, "
        f"peak memory {result.median_ratio('added_mb'):.2f}",
    ]


def _line(name: str, result: Comparison, which: int) -> str:
    runs: list[Measured] = sorted((pair[which] for pair in result.pairs), key=lambda run: run.seconds)
    middle = runs[len(runs) // 2]
    return f"  {name:36s} {middle.seconds:6.2f} s  {middle.cpu_seconds:6.2f} s CPU  {middle.added_mb:6.0f} MB"


if __name__ == "__main__":
    print("\n".join(fusion_lines(Path(sys.argv[1]))))
