"""CPU seconds of the alignment of stored maps of 640x480, beside the same with plain look-ups in the same run."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

VIEWS = (18, 72, 300)
_ONE = """
import contextlib, sys, tempfile, time
from pathlib import Path
from lotus_recon import threads
from lotus_recon.types import DepthKind
from tests.alignment.analytic import CAMERA, make_scene
from tests.alignment.plain import plain_look_ups
from tests.alignment.test_stage import align, predict
views, plain = int(sys.argv[1]), sys.argv[2] == "plain"
threads.set_thread_limit(2)
truth = make_scene(views, 4000, noise_px=1.0, step=3.0 / views, camera=CAMERA.resized(640, 480))
with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    small = make_scene(3, 300)
    align(small, predict(small, root / "small", DepthKind.AFFINE_DISPARITY, bend=0.02), root / "compiled")
    predictions = predict(truth, root / "predictions", DepthKind.AFFINE_DISPARITY, bend=0.02)
    with plain_look_ups() if plain else contextlib.nullcontext():
        started, cpu = time.perf_counter(), time.process_time()
        align(truth, predictions, root / "out")
        print(time.perf_counter() - started, time.process_time() - cpu)
"""


def alignment_lines() -> list[str]:
    """The table that ``bench`` prints: the whole stage on two threads."""
    lines = ["alignment of maps of 640x480, 2 threads (asked: 18 views in 6 s, linear in views)"]
    lines.append("  views   wall      CPU       CPU, each view   CPU with plain look-ups   ratio")
    for views in VIEWS:
        wall, cpu = alignment_seconds(views)
        plain = alignment_seconds(views, "plain")[1] if views == VIEWS[0] else None
        beside = f"{plain:9.1f} s               {cpu / plain:.2f}" if plain is not None else ""
        lines.append(f"  {views:4d}   {wall:6.1f} s  {cpu:6.1f} s   {cpu / views:9.2f} s      {beside}")
    return lines


@cache
def alignment_seconds(views: int, look_ups: str = "compiled") -> tuple[float, float]:
    """Seconds on the clock and of CPU time of the whole stage; ``look_ups``: compiled or plain."""
    answer = subprocess.run(
        [sys.executable, "-c", _ONE, str(views), look_ups], check=True, capture_output=True, text=True
    )
    wall, cpu = answer.stdout.split()[-2:]
    return float(wall), float(cpu)


if __name__ == "__main__":
    print("\n".join(alignment_lines()))
