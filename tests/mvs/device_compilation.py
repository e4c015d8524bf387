"""The Triton kernels, compiled for a GPU that need not be there. Not collected: ``test_device`` runs it in a process of
its own, whose driver only says what to compile for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from lotus_recon.mvs import device_search
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.device_search import DeviceSearch
from lotus_recon.mvs.search import matching_of
from lotus_recon.mvs.sources import sources_of
from lotus_recon.mvs.sweep import Turn
from tests.mvs.scenes import middle, others

TURN = Turn(number=4, seed=7, near=0.5, far=0.1, pixels=300.0, reach_px=4.0, tilt=0.5, anywhere=True)


class Hopper:
    """The driver of an H100. Nothing can be run."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


class Compiling:
    """A kernel that is compiled when it is launched."""

    def __init__(self, kernel: Any, into: list[Any]) -> None:
        self._kernel, self._into = kernel, into

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **options: self._into.append(self._kernel.warmup(*args, grid=grid, **options))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kernels that were launched."""
    kernels: list[Any] = []
    driver.set_active(Hopper())
    for name in ("score_kernel", "sweep_kernel"):
        monkeypatch.setattr(device_search, name, Compiling(getattr(device_search, name), kernels))
    return kernels


def search() -> DeviceSearch:
    photo, photos = middle().photo, [other.photo for other in others()]
    sources = sources_of(photo, photos, [other.surface for other in others()])
    return DeviceSearch(*matching_of(photo, sources, SearchConfig(), True), torch.device("cpu"))


def test_starts(compiled: list[Any]) -> None:
    search().score_starts(TURN, middle().surface.planes[None])
    assert_runs_without_barriers(compiled[0])


def test_rounds(compiled: list[Any]) -> None:
    """One kernel for all rounds that try the same."""
    on_device = search()
    on_device.sweep(TURN, 1)
    assert_runs_without_barriers(compiled[0])
    for number, colour in ((16, 0), (1, 1)):
        on_device.sweep(TURN._replace(number=number, seed=number, reach_px=0.5), colour)
    assert compiled[1] is compiled[0]
    assert compiled[2] is compiled[0]


def assert_runs_without_barriers(kernel: Any) -> None:
    """It is a program of one warp, which has its samples in registers."""
    assert len(kernel.asm["cubin"]) > 0
    assert kernel.metadata.shared == 0
    assert "bar.sync" not in kernel.asm["ptx"]
