"""Noise out of path-traced images: Intel Open Image Denoise, where its package is installed."""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon import native
from lotus_recon.errors import ModelError

log = logging.getLogger(__name__)

Image = NDArray[np.float32]  # (H, W, 3)


class Denoiser:
    """Open Image Denoise (Afra, 2019) on the CPU, guided by albedo and normals that may be noisy themselves."""

    def __init__(self, threads: int = 0) -> None:
        """``threads``: 0 uses all cores. Raises ImportError without the package pyoidn."""
        import pyoidn

        self._oidn = pyoidn
        self._device = pyoidn.Device()
        self._device.set_int("numThreads", threads)
        self._device.set_bool("setAffinity", False)  # else processes side by side are pinned to the same cores
        self._device.commit()

    def __call__(self, color: Image, albedo: Image, normal: Image) -> Image:
        """The image without noise. ``color`` linear and unbounded, ``albedo`` in [0, 1], ``normal`` in [-1, 1]."""
        images = {"color": color, "albedo": albedo, "normal": normal, "output": np.empty_like(color)}
        images = {name: np.ascontiguousarray(image, np.float32) for name, image in images.items()}
        filtering: Any = self._oidn.Filter(self._device)
        try:
            for name, image in images.items():
                filtering.set_image(name, image, self._oidn.OIDN_FORMAT_FLOAT3)
            filtering.set_bool("hdr", True)
            filtering.commit()
            filtering.execute()
        finally:
            filtering.release()
        error = self._device.get_error()
        if error is not None:
            raise ModelError(f"Open Image Denoise failed: {error}")
        return images["output"]


@functools.lru_cache(maxsize=2)
def load_denoiser(threads: int = 0) -> Denoiser | None:
    """The denoiser of this process; None when pyoidn is not installed, or (with a warning) when it cannot be used."""
    failure = native.failures(["pyoidn"]).get("pyoidn")
    if failure is None:
        return Denoiser(threads)
    if importlib.util.find_spec("pyoidn") is not None:
        log.warning("images of rooms are not denoised: %s", failure)
    return None
