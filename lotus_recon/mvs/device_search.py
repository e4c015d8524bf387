"""The search of ``search`` on a CUDA device: planes, costs and photos of a level stay there until it is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
from torch import Tensor

from lotus_recon.mvs import sweep
from lotus_recon.mvs.device_cost import DeviceGoal, DeviceView
from lotus_recon.mvs.device_hypotheses import salt_of
from lotus_recon.mvs.device_sweep import DeviceState, DeviceTurn, score_kernel, sweep_kernel
from lotus_recon.mvs.matching import Goal
from lotus_recon.mvs.sources import Floats

BLOCK = 16  # pixels per program
_OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}  # as on a CPU, where sums may be contracted too


class DeviceSearch:
    """The search of one view at one scale. ``view`` as for ``sweep``."""

    def __init__(self, view: sweep.View, goal: Goal, device: torch.device) -> None:
        H, W = view.gray.shape
        N = len(view.sources.place)
        self._device = device
        self._view = self._uploaded(view)
        self._goal = DeviceGoal(goal.contrast, goal.radius, goal.geometric, goal.lost)
        K = min(goal.best_sources, N)
        self._sizes = {"K": K, "J": _power(N), "S": self._view.window.shape[1], "P": BLOCK}
        self._sweep_sizes = {"C": _power(K), "R": self._view.regions.shape[1]}
        self._state = DeviceState(
            torch.zeros(H, W, 3, device=device),
            torch.zeros(H, W, device=device),
            torch.zeros(H, W, N, device=device),
        )

    def score_starts(self, turn: sweep.Turn, starts: Floats) -> None:
        """Give every pixel the best of the starts (S, H, W, 3), or a plane at random."""
        H, W, _ = self._state.planes.shape
        score_kernel[(triton.cdiv(H * W, BLOCK),)](
            self._view, self._goal, _numbers(turn), salt_of(turn.seed, turn.number), self._tensor(starts), len(starts),
            self._state, **self._sizes, **_OPTIONS,
        )  # fmt: skip

    def sweep(self, turn: sweep.Turn, colour: int) -> None:
        """Better planes for the pixels of one colour."""
        H, W, _ = self._state.planes.shape
        sweep_kernel[(triton.cdiv(H * ((W + 1) // 2), BLOCK),)](
            self._view, self._goal, _numbers(turn), salt_of(turn.seed, turn.number), colour, self._state,
            ANYWHERE=turn.anywhere, **self._sizes, **self._sweep_sizes, **_OPTIONS,
        )  # fmt: skip

    def state(self) -> sweep.State:
        """What was found, in memory of the CPU."""
        return sweep.State(*(each.cpu().numpy() for each in self._state))

    def _uploaded(self, view: sweep.View) -> DeviceView:
        samples, regions = view.window, view.regions
        fill = _power(samples.shape[1]) - samples.shape[1]
        more = _power(regions.shape[1]) - regions.shape[1]
        camera, place = view.camera, view.sources
        return DeviceView(
            gray=self._tensor(view.gray),
            window=self._tensor(np.pad(samples, ((0, 0), (0, fill)))),  # of weight 0
            regions=self._tensor(np.pad(regions, ((0, 0), (0, more), (0, 0)), "edge")),  # the last pixels again
            others=self._tensor(place.gray),
            maps=self._tensor(place.maps),
            geometry=self._tensor(place.geometry),
            place=self._tensor(place.place),
            height=view.gray.shape[0],
            width=view.gray.shape[1],
            sources=len(place.place),
            fx=camera.fx,
            fy=camera.fy,
            cx=camera.cx,
            cy=camera.cy,
            best_cosine=view.best_cosine,
        )

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _numbers(turn: sweep.Turn) -> DeviceTurn:
    return DeviceTurn(float(turn.near), float(turn.far), float(turn.pixels), float(turn.reach_px), float(turn.tilt))


def _power(count: int) -> int:
    """The least power of two that is not less."""
    return int(triton.next_power_of_2(count))
