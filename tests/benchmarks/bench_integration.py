"""Seconds and memory of the integration of normals, beside the published code of bilateral normal integration (BiNI).

BINI_DIR names a copy of https://github.com/xucao-42/bilateral_normal_integration: its NumPy code then runs beside ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

# What its authors' code, its conjugate gradients compiled by Numba, takes on two such cores once it is compiled.
BINI_SECONDS = {"bear": 2.1, "cat": 2.6, "pot1": 4.9, "reading": 2.1}
SCALES = (1.0, 2.1, 4.2, 8.4)  # of pot1: 0.06, 0.25, 1 and 4 megapixels

_DATA = "data/normals_diligent"
_OURS = """
import sys, time
from pathlib import Path
import cv2
import numpy as np
import torch
from lotus_recon.datasets.diligent import read_object
from lotus_recon.integration import integrate_normals
one, scale, device = read_object(Path(sys.argv[1])), float(sys.argv[2]), torch.device(sys.argv[3])
rows, cols = np.nonzero(one.mask)
box = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
K = np.diag([scale, scale, 1.0]) @ (one.K - [[0, 0, cols.min()], [0, 0, rows.min()], [0, 0, 0]])
size = tuple(int(scale * side) for side in one.mask[box].shape[::-1])
normals = cv2.resize(one.normals[box], size, interpolation=cv2.INTER_LINEAR)
mask = cv2.resize(one.mask[box].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
best = float("inf")
for _ in range(3 if scale == 1 or device.type == "cuda" else 1):
    started = time.perf_counter()
    found = integrate_normals(normals, mask, K, device=device)
    best = min(best, time.perf_counter() - started)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(best, int(mask.sum()), int(peak.split()[1]) / 1024, int(found.converged))
"""

_BINI = """
import sys, time
import cv2
import numpy as np
sys.path.insert(0, sys.argv[1])
from bilateral_normal_integration_numpy import bilateral_normal_integration
folder = sys.argv[2]
stored = cv2.imread(folder + "/normal_map.png", cv2.IMREAD_UNCHANGED)[..., ::-1]
normals, mask = stored / 65535 * 2 - 1, cv2.imread(folder + "/mask.png", 0) > 0
for _ in range(2):  # the second without compilation
    started = time.perf_counter()
    bilateral_normal_integration(normal_map=normals, normal_mask=mask, k=2, K=np.loadtxt(folder + "/K.txt"))
    seconds = time.perf_counter() - started
print("seconds", seconds)
"""


def integration_lines(shared: Path) -> list[str]:
    """The tables that ``bench`` prints."""
    data = shared / _DATA
    lines = ["integration of normals, best of 3 (BiNI: seconds of its own code, as quoted, and as run here)"]
    lines.append("  object     pixels   ours     BiNI quoted    BiNI run      times faster (asked: 4)")
    for name, quoted in BINI_SECONDS.items():
        seconds, pixels, _, _ = _ours(data / name, 1.0)
        run = _bini(data / name)
        beside = "not run (BINI_DIR)" if run is None else f"{run:.2f} s"
        lines.append(
            f"  {name:8s} {pixels:8.0f}   {seconds:.2f} s   {quoted:.1f} s          {beside:12s}  "
            f"{quoted / seconds:.1f} (quoted)" + ("" if run is None else f", {run / seconds:.1f} (run)")
        )
    lines.append("  megapixels  seconds   us/pixel   peak      converged (asked at 1: 20 s, 2000 MB)")
    for scale in SCALES:
        seconds, pixels, peak_mb, converged = _ours(data / "pot1", scale)
        lines.append(
            f"  {pixels / 1e6:8.2f}  {seconds:8.2f}   {1e6 * seconds / pixels:8.2f}   {peak_mb:5.0f} MB  "
            f"{'yes' if converged else 'no'}"
        )
    return lines


@cache
def _ours(folder: Path, scale: float, device: str = "cpu") -> tuple[float, ...]:
    command = [sys.executable, "-c", _OURS, str(folder), str(scale), device]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(float(word) for word in answer.split()[-4:])


def four_megapixels(shared: Path, device: str = "cpu") -> float:
    """Seconds of the largest map."""
    return _ours(shared / _DATA / "pot1", SCALES[-1], device)[0]


def _bini(folder: Path) -> float | None:
    code = os.environ.get("BINI_DIR")
    if not code:
        return None
    command = [sys.executable, "-c", _BINI, code, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(answer.split("seconds")[-1])
