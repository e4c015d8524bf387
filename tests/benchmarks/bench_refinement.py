"""Seconds and memory of the refinement of one view, by pixels, sources and hypotheses."""

from __future__ import annotations

import subprocess
import sys

_ONE = """
import sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(2)
from lotus_recon.refinement.config import AdvancedRefinement, RefinementConfig
from lotus_recon.refinement.matching import Sources
from lotus_recon.refinement.one_view import Level, Prior, refine
from tests.refinement.scenes import bent, gray_of, photo, views
side, sources, step_px = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
seen = [replace(view, camera=view.camera.resized(side, side)) for view in views(sources + 1, step=1.6 / sources)]
def level(scale):
    small = [replace(view, camera=view.camera.resized(side // scale, side // scale)) for view in seen]
    photos = [photo(view, gray_of(view)) for view in small]
    return Level(photos[0], Sources.of(small[0], photos[1:]))
levels = [level(scale) for scale in (1, 2, 4)]
depth = torch.from_numpy(bent(seen[0], 0.03)).float()
prior = Prior(depth, torch.ones_like(depth, dtype=torch.bool), 0.02)
config = RefinementConfig(advanced=AdvancedRefinement(sources=sources, step_px=step_px))
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, without what it took to make the photos
best = float("inf")
for _ in range(2):
    started = time.perf_counter()
    for span in (0.04, config.advanced.later_search_range_px / levels[0].pixels_per_log_depth(prior)):  # both passes
        refine(levels, prior, torch.zeros_like(depth), None, span, 0.0, config)
    best = min(best, time.perf_counter() - started)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(best, int(peak.split()[1]) / 1024)
"""


def refinement_lines() -> list[str]:
    """The table that ``bench`` prints: both passes of one view on two threads."""
    lines = [
        "refinement of one view, both passes, 2 threads",
        "  pixels      sources  step     seconds  us/pixel/source  peak",
    ]
    default = (8, 0.7)
    for side, sources, step in (
        (384, *default), (768, *default), (1088, *default), (1440, *default),
        (768, 4, 0.7), (768, 16, 0.7), (768, 8, 1.4), (768, 8, 0.35),
    ):  # fmt: skip
        command = [sys.executable, "-c", _ONE, str(side), str(sources), str(step)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak_mb = (float(word) for word in answer.split())
        each = 1e6 * seconds / (side * side * sources)
        lines.append(
            f"  {side:4d}x{side:<4d}   {sources:5d}    {step:.2f} px  {seconds:6.2f}   {each:8.2f}       "
            f"{peak_mb:5.0f} MB"
        )
    return lines


if __name__ == "__main__":
    print("\n".join(refinement_lines()))
