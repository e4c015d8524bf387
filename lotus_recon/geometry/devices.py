"""Which device array functions compute on."""

from __future__ import annotations

import torch


def pick_device(name: str) -> torch.device:
    """The device of an option: ``auto`` is CUDA where there is one, else the CPU.

    For float32 arithmetic and indexing, which every device has; networks choose theirs in ``models``.
    """
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
