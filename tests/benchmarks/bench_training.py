"""Samples a second that training nano reads and learns from, samples kept in memory and not, in the same run."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

_RUN = """
import sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
from lotus_recon.io.images import write_png
from lotus_recon.training.config import DataConfig, NanoConfig, ObjectiveConfig, SetConfig, StartConfig, TrainConfig
from lotus_recon.training.data import Batches
from lotus_recon.training.nano_module import NanoTaskModule
from lotus_recon.training.optimization import make_optimizer
from tests.alignment.analytic import CAMERA, true_depth, views_on_arc
cache, fused, learn = sys.argv[1], sys.argv[2] == "fused", sys.argv[3] == "learn"
device, size, workers = torch.device(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
clock = time.perf_counter if device.type == "cuda" else time.process_time
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as folder:
    root, camera = Path(folder), CAMERA.resized(640, 480)
    for view in views_on_arc(24, step=0.1, camera=camera):
        depth = true_depth(view)
        texture = np.random.default_rng(0).integers(0, 60, (480, 640, 3))
        rgb = (np.clip(40 * depth, 0, 190)[..., None] + texture).astype(np.uint8)
        write_png(root / "rgb" / f"{view.stem}.png", rgb)
        write_png(root / "depth" / f"{view.stem}.png", np.rint(1000 * depth).astype(np.uint16))
    (root / "dataset.yaml").write_text(f"depth_unit_m: 0.001\\nfx: {camera.fx}\\nnormals_from_depth: true\\n")
    data = DataConfig(sets=[SetConfig(kind="folder", root=root, width=256, height=192)], photometric=1.0,
                      smallest_crop=0.6, workers=workers, cache=cache)
    config = TrainConfig(start=StartConfig(family="nano"), nano=NanoConfig(imagenet=False), data=data,
                         objective=ObjectiveConfig(tasks=["depth", "normal"]))
    module = NanoTaskModule.from_config(config, device)
    optimizer = make_optimizer(module.parameter_groups(config.optimizer), config.optimizer)
    for group in optimizer.param_groups:
        group["fused"] = fused
    batches, count = Batches(data, config.objective, 0, size, device=device), 0
    for number, step in enumerate(batches.run(0, 3 + 24 // size + 12 * (device.type == "cuda"))):
        if number == 3:  # all samples were read, and what starts up has started
            started, count = clock(), 0
        for batch in step:
            if learn:
                terms = module.terms(module.network, batch.to(device))
                loss = sum(term.total for term in terms.values())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            count += size
    if device.type == "cuda":
        torch.cuda.synchronize()
    print(count / (clock() - started))
"""


def training_lines() -> list[str]:
    """The table that ``bench`` prints: samples by seconds of one core, after the first epoch."""
    lines = ["training nano at 256x192 on photos of 640x480, samples by CPU second (asked: 1.5 times)"]
    device = _speed("device", "fused", "read")
    lines.append(f"  made by torch, as on a device (data.cache device, here on the CPU): read {device:6.1f}")
    for what in ("read", "learn"):
        before, now = training_speeds(what)
        lines.append(f"  {what:6s} read anew {before:6.1f}   kept in memory {now:6.1f}   ratio {now / before:.2f}")
    return lines


@cache
def training_speeds(what: str) -> tuple[float, float]:
    """Samples by second of one core, as before samples were kept and the optimiser fused, and now: read or learn."""
    return _speed("off", "plain", what), _speed("auto", "fused", what)


def samples_a_second_on_cuda() -> float:
    """Samples of batches of 128 that are learnt from in a second of the clock, kept on the device."""
    return _speed("device", "fused", "learn", "cuda", batch=128, workers=4)


def _speed(cache: str, optimizer: str, what: str, device: str = "cpu", batch: int = 8, workers: int = 1) -> float:
    command = [sys.executable, "-c", _RUN, cache, optimizer, what, device, str(batch), str(workers)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    print("\n".join(training_lines()))
