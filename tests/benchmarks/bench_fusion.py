"""Fusion beside a plain VoxelBlockGrid loop, in the same run: ``python -m tests.benchmarks.bench_fusion SHARED``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.acceptance.fusion_rows import RUN, Comparison, Measured, compare


def fusion_lines(shared: Path, n_pairs: int = 3) -> list[str]:
    """What ``bench`` prints of fusion: the best run of both, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        result = compare(shared / "data" / RUN, Path(folder), n_pairs)
    return [
        f"fusion of {RUN}, 100 frames, 1 cm voxels, best of {n_pairs} runs each",
        _line("plain VoxelBlockGrid loop", result, 0),
        _line("fusion stage, cleaned, PLY and GLB", result, 1),
        f"  ratio: time {result.ratio('seconds'):.2f}, CPU time {result.ratio('cpu_seconds'):.2f}, "
        f"peak memory {result.ratio('added_mb'):.2f}",
    ]


def _line(name: str, result: Comparison, which: int) -> str:
    best: Measured = min((pair[which] for pair in result.pairs), key=lambda run: run.seconds)
    return f"  {name:36s} {best.seconds:6.2f} s  {best.cpu_seconds:6.2f} s CPU  {best.added_mb:6.0f} MB"


if __name__ == "__main__":
    print("\n".join(fusion_lines(Path(sys.argv[1]))))
