"""Bytes and CPU time of the maps of a photo as they are written, and as numpy would compress them, in the same run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import save_arrays
from lotus_recon.models import load_model

PHOTO = Path(__file__).resolve().parents[2] / "data/sample/images/studio_01.jpg"


def writing_lines() -> list[str]:
    """The table that ``bench`` prints: the maps that nano predicts of a photo of 640x480."""
    prediction = load_model("nano", device="cpu").predict(read_rgb(PHOTO))
    assert prediction.depth is not None
    assert prediction.normals is not None
    depth = {"depth": prediction.depth.values, "depth_valid": prediction.depth.valid}
    normals = {"normals": prediction.normals.values, "normals_valid": prediction.normals.valid}
    lines = ["maps of a photo of 640x480, CPU time of writing, best of 5 (numpy: savez_compressed)"]
    lines.append("  maps      in memory   numpy               ours               ratio: size   time")
    for name, maps in (("depth", depth), ("normals", normals)):
        memory = sum(array.nbytes for array in maps.values())
        (size, seconds), (ours, our_seconds) = (_best(write, maps) for write in (np.savez_compressed, save_arrays))
        lines.append(
            f"  {name:8s}  {memory / 1e6:6.2f} MB   {size / 1e6:.2f} MB {1e3 * seconds:5.0f} ms   "
            f"{ours / 1e6:.2f} MB {1e3 * our_seconds:5.0f} ms          {ours / size:.2f}   {our_seconds / seconds:.2f}"
        )
    return lines


def _best(write: Callable[..., Any], maps: dict[str, np.ndarray]) -> tuple[int, float]:
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "maps.npz"
        for _ in range(5):
            started = time.process_time()
            write(path, **maps)
            best = min(best, time.process_time() - started)
        return path.stat().st_size, best


if __name__ == "__main__":
    print("\n".join(writing_lines()))
