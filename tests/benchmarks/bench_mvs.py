"""CPU seconds and memory of multi-view stereo of one view, all passes, by pixels and sources."""

from __future__ import annotations

import subprocess
import sys

_ONE = """
import sys, tempfile, time
from dataclasses import replace
from pathlib import Path
from lotus_recon import threads
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.stage import run
from tests.mvs.scenes import views, write
side, sources = int(sys.argv[1]), int(sys.argv[2])
threads.set_thread_limit(2)
config = MvsConfig(advanced=AdvancedMvs(sources=sources, best_parallax_deg=8.0))
seen = [replace(view, camera=view.camera.resized(side, side)) for view in views(sources + 1, step=1.6 / sources)]
with tempfile.TemporaryDirectory() as folder:
    run(write(Path(folder) / "small", views(2, 0.6)).inputs(), config, Path(folder) / "compiled")
    on_disk = write(Path(folder), seen)
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, without what it took to make the photos
    started = time.process_time()
    run(on_disk.inputs(), config, Path(folder) / "out")
    seconds = (time.process_time() - started) / len(seen)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1024)
"""


def mvs_lines() -> list[str]:
    """The table that ``bench`` prints: the whole stage on two threads, for each of the views."""
    lines = ["multi-view stereo, each view, all passes", "  pixels      sources   CPU seconds  us/pixel/source  peak"]
    for side, sources in ((192, 8), (384, 8), (384, 4)):
        command = [sys.executable, "-c", _ONE, str(side), str(sources)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak_mb = (float(word) for word in answer.split())
        each = 1e6 * seconds / (side * side * sources)
        lines.append(f"  {side:4d}x{side:<4d}   {sources:5d}    {seconds:9.2f}   {each:12.2f}       {peak_mb:5.0f} MB")
    return lines


if __name__ == "__main__":
    print("\n".join(mvs_lines()))
