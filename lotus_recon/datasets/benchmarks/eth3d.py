"""ETH3D, images of the high-resolution multi-view training scenes (Schoeps et al., CVPR 2017).

Depth is a raw file of 4032 x 6048 floats in metres, infinite where the laser saw nothing. The least-squares fit works
under a cap of 1024 pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout
from lotus_recon.datasets.benchmarks.source import Source
from lotus_recon.errors import InputError

HEIGHT, WIDTH = 4032, 6048


def _read(source: Source, path: str) -> NDArray[np.float32]:
    content = source.read(path)
    if len(content) != 4 * HEIGHT * WIDTH:
        raise InputError(f"{source.where(path)} has {len(content)} bytes; needed: {HEIGHT} x {WIDTH} floats of 4 bytes")
    depth = np.frombuffer(content, "<f4").reshape(HEIGHT, WIDTH)
    return np.where(np.isfinite(depth), depth, np.float32(0))


LAYOUT = DepthLayout(
    BenchmarkSpec(
        "ETH3D",
        "eth3d.tar of Marigold's evaluation data; eth3d_filename_list.txt of its repository",
        min_depth=1e-5,
        max_depth=None,
        alignment_resolution=1024,
    ),
    _read,
)
