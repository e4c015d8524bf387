"""The search of ``search`` on a CUDA device: planes, costs and photos of a level stay there until it is done."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.errors import TritonError

from lotus_recon.mvs.device_cost import DeviceGoal, DeviceView
from lotus_recon.mvs.device_hypotheses import salt_of
from lotus_recon.mvs.device_sweep import DeviceState, DeviceTurn, score_kernel, sweep_kernel
from lotus_recon.mvs.matching import Goal
from lotus_recon.mvs.sources import Floats
from lotus_recon.mvs.sweep import Turn, View

# A warp per pixel, with the samples of its window side by side: it waits for no other and needs no shared memory.
BLOCK = 1  # pixels per program
_OPTIONS = {"num_warps": 1, "num_stages": 1, "enable_fp_fusion": True}  # sums may be contracted, as numba's are


class DeviceSearch:
    """Rounds over one view at one scale. ``view`` and ``goal`` as for ``sweep``."""

    def __init__(self, view: View, goal: Goal, device: torch.device) -> None:
        H, W = view.gray.shape
        N = len(view.sources.place)
        K = min(goal.best_sources, N)
        self._device, self._shape = device, (H, W)
        self._view = self._uploaded(view)
        self._goal = DeviceGoal(K, *map(float, (goal.contrast, goal.radius, goal.geometric, goal.lost)))
        self._sizes = {"J": _power(N), "S": self._view.window.shape[1], "P": BLOCK}
        self._sweep_sizes = {"C": _power(K), "R": self._view.regions.shape[1]}
        self._state = DeviceState(*(torch.zeros(H, W, *more, device=device) for more in ((3,), (), (N,))))

    def score_starts(self, turn: Turn, starts: Floats) -> None:
        """Give every pixel the best of the starts (S, H, W, 3), or a plane at random."""
        H, W = self._shape
        with _on(self._device):
            score_kernel[(triton.cdiv(H * W, BLOCK),)](
                self._view, self._goal, _numbers(turn), salt_of(turn.seed, turn.number), self._tensor(starts),
                len(starts), self._state, **self._sizes, **_OPTIONS,
            )  # fmt: skip

    def sweep(self, turn: Turn, colour: int) -> None:
        """Better planes for the pixels of one colour."""
        H, W = self._shape
        with _on(self._device):
            sweep_kernel[(triton.cdiv(H * ((W + 1) // 2), BLOCK),)](
                self._view, self._goal, _numbers(turn), salt_of(turn.seed, turn.number), colour, self._state,
                ANYWHERE=turn.anywhere, **self._sizes, **self._sweep_sizes, **_OPTIONS,
            )  # fmt: skip

    def result(self) -> tuple[Floats, Floats]:
        """The planes (H, W, 3) and their cost (H, W), in memory of the CPU."""
        return self._state.planes.cpu().numpy(), self._state.cost.cpu().numpy()

    def _uploaded(self, view: View) -> DeviceView:
        samples, regions = view.window, view.regions
        fill = _power(samples.shape[1]) - samples.shape[1]
        more = _power(regions.shape[1]) - regions.shape[1]
        camera, sources = view.camera, view.sources
        return DeviceView(
            gray=self._tensor(view.gray),
            window=self._tensor(np.pad(samples, ((0, 0), (0, fill)))),  # of weight 0
            regions=self._tensor(np.pad(regions, ((0, 0), (0, more), (0, 0)), "edge")),  # the last pixels again
            others=self._tensor(sources.gray),
            maps=self._tensor(sources.maps),
            geometry=self._tensor(sources.geometry),
            place=self._tensor(sources.place),
            height=view.gray.shape[0],
            width=view.gray.shape[1],
            sources=len(sources.place),
            fx=float(camera.fx),
            fy=float(camera.fy),
            cx=float(camera.cx),
            cy=float(camera.cy),
            best_cosine=float(view.best_cosine),
        )

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def check_device(device: torch.device) -> None:
    """Run a kernel of one line. Raises RuntimeError where that does not work, for want of a C compiler say."""
    out = torch.zeros(1, device=device)
    try:
        with _on(device):
            trial_kernel[(1,)](out)
    except (TritonError, OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    if out.item() != 1:
        raise RuntimeError("a kernel did not write its result")


@triton.jit
def trial_kernel(out):  # type: ignore[no-untyped-def]  # Triton refuses types in a kernel
    """Write 1 to the tensor ``out`` (1,)."""
    tl.store(out, 1.0)


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _numbers(turn: Turn) -> DeviceTurn:
    return DeviceTurn(float(turn.near), float(turn.far), float(turn.pixels), float(turn.reach_px), float(turn.tilt))


def _power(count: int) -> int:
    """The least power of two that is not less."""
    return int(triton.next_power_of_2(count))
