"""The speeds asked of the program in one table: two cores and, where there is a card, CUDA.

Rows without a figure need data that is not there, or weights that the repository does not hold.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.bench_alignment import VIEWS, alignment_seconds
from tests.benchmarks.bench_integration import four_megapixels
from tests.benchmarks.bench_lotus import lotus_cost
from tests.benchmarks.bench_training import samples_a_second_on_cuda, training_speeds
from tests.conftest import SHARED

_NANO = """
import sys, time
import numpy as np
import torch
from lotus_recon.models import load_model
device = sys.argv[1]
if device == "cpu":
    torch.set_num_threads(2)
model = load_model("nano", device=device)
photos = list(np.random.default_rng(0).integers(0, 256, (8, 480, 640, 3), dtype=np.uint8))
best = float("inf")
for _ in range(4):
    started = time.perf_counter()
    model.predict_batch(photos)
    best = min(best, time.perf_counter() - started)
print(1000 * best / 8)
"""


@dataclass(frozen=True)
class SpeedRow:
    """What was measured, and what was asked; an empty string where nothing was."""

    what: str
    cpu: str
    asked_cpu: str
    cuda: str = ""
    asked_cuda: str = ""


def speed_lines(shared: Path = SHARED) -> list[str]:
    """The table that ``bench`` prints; the CUDA columns only where there is a card."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    lines = ["asked speeds: on 2 cores" + (f", and on {card}" if card else " (no CUDA device here)")]
    for row in _rows(shared, card is not None):
        line = f"  {row.what:46s} {row.cpu or 'not measured':>16s}   asked {row.asked_cpu or '-':18s}"
        lines.append(line + (f"   {row.cuda or 'not measured':>14s}   asked {row.asked_cuda or '-'}" if card else ""))
    return lines


def _rows(shared: Path, has_card: bool) -> list[SpeedRow]:
    few, many = VIEWS[0], VIEWS[-1]
    wall, cpu = alignment_seconds(few)
    growth = alignment_seconds(many)[1] / many / (cpu / few)
    before, now = training_speeds("learn")
    has_data = (shared / "data").is_dir()
    normals = f"{four_megapixels(shared):.1f} s" if has_data else ""
    card_normals = f"{four_megapixels(shared, 'cuda'):.1f} s" if has_data and has_card else ""
    stock, (ours, memory), (pair, _) = lotus_cost("stock")[0], lotus_cost("ours"), lotus_cost("pair")
    card = lotus_cost("ours", "cuda", "float16")[0] if has_card else 0.0
    card_pair = lotus_cost("pair", "cuda", "float16")[0] if has_card else 0.0
    nano = f"{_nano('cuda'):.1f} ms" if has_card else ""
    training = f"{samples_a_second_on_cuda():.0f} samples/s" if has_card else ""
    return [
        SpeedRow(f"alignment, {few} views", f"{wall:.1f} s", "<= 6 s", "", "<= 3 s"),
        SpeedRow(f"a view of {many} to a view of {few}, CPU time", f"{growth:.2f}", "linear: 1"),
        SpeedRow("normals, 4 megapixels", normals, "<= 10 s", card_normals, "<= 2 s"),
        SpeedRow(
            "training nano at 256x192, to reading anew", f"{now / before:.2f}", ">= 1.5", training, ">= 1000 samples/s"
        ),
        SpeedRow(
            "full-size Lotus-D at 576x768, to stock modules",
            f"{ours / stock:.2f}, {memory:.1f} GB",
            "<= 0.6, <= 5 GB",
            f"{1000 * card:.0f} ms" if has_card else "",
            "<= 35 ms compiled",
        ),
        SpeedRow(
            "the same, depth and normals to two runs",
            f"{pair / ours / 2:.2f}",
            "<= 0.75",
            f"{card_pair / card / 2:.2f}" if has_card else "",
            "<= 0.75",
        ),
        SpeedRow("nano, a photo of 640x480 in a batch of 8", f"{_nano('cpu'):.0f} ms", "", nano, "<= 3 ms"),
    ]


def _nano(device: str) -> float:
    """Milliseconds of a photo."""
    command = [sys.executable, "-c", _NANO, device]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    print("\n".join(speed_lines()))
