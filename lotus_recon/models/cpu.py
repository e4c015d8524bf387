"""What suits networks on a CPU: which numbers it multiplies fast, and in which order they lie in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)

_REPEATS = 3
_FASTER = 1.5  # less is not worth the digits


@cache
def runs_bfloat16_faster() -> bool:
    """Whether this CPU convolves bfloat16 clearly faster than float32: a probe of some 50 milliseconds.

    With AMX or AVX512-BF16 it does; without, several times slower.
    """
    seconds = {dtype: _seconds(_convolution(dtype)) for dtype in (torch.float32, torch.bfloat16)}
    ratio = seconds[torch.float32] / seconds[torch.bfloat16]
    log.debug("a convolution in bfloat16 runs %.1f times as fast as in float32", ratio)
    return ratio > _FASTER


def _convolution(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """A 3x3 convolution of 256 channels on 32x32 pixels: of the size of those in the U-Net."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last
    image = torch.randn((1, 256, 32, 32), generator=generator).to(dtype, memory_format=layout)
    weights = torch.randn((256, 256, 3, 3), generator=generator).to(dtype, memory_format=layout)
    return lambda: nn.functional.conv2d(image, weights, padding=1)


@torch.inference_mode()
def _seconds(work: Callable[[], object]) -> float:
    """The shortest of a few calls, after one that prepares."""
    best = float("inf")
    work()
    for _ in range(_REPEATS):
        started = perf_counter()
        work()
        best = min(best, perf_counter() - started)
    return best


def lay_out(network: Any, device: torch.device) -> None:
    """Lay out the weights of a convolutional network as the device convolves them fastest.

    On a CPU channels last: nano takes a tenth to a fifth less time, a VAE a tenth, and either, in bfloat16, half.
    """
    if device.type == "cpu":
        network.to(memory_format=torch.channels_last)
