"""Where the search runs."""

from __future__ import annotations

import importlib
import logging

import torch

from lotus_recon.geometry.devices import pick_device

log = logging.getLogger(__name__)

_OLDEST = (3, 3)  # Triton whose kernels take named tuples; PyTorch 2.7 brings it


def search_device(name: str) -> torch.device | None:
    """The device of an option, where it is CUDA and Triton works; None: the CPU, compiled by numba.

    Warns where only Triton is missing.
    """
    device = pick_device(name)
    if device.type != "cuda":
        return None
    problem = _problem(device)
    if problem is None:
        return device
    log.warning("multi-view stereo runs on the CPU, many times slower than on the GPU: %s", problem)
    return None


def _problem(device: torch.device) -> str | None:
    """Why Triton cannot be used on a device."""
    try:
        triton = importlib.import_module("triton")
    except ImportError as error:
        return f"Triton cannot be imported ({error}); pip install triton"
    version = str(triton.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        return f"Triton {version} is too old; 3.3 or later is needed, which PyTorch 2.7 brings"
    from lotus_recon.mvs.device_search import check_device

    try:
        check_device(device)
    except RuntimeError as error:
        return f"Triton {version} does not work on {device} ({error})"
    return None
