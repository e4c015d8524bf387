"""KITTI, the Eigen test split (Geiger et al., CVPR 2012; Eigen et al., NeurIPS 2014): depth PNG, metres x 256.

Photo and depth are cropped to 1216x352 at the bottom, as in the KITTI benchmark, and scored in the window of Eigen et
al.; ``GARG`` scores in that of Garg et al. (ECCV 2016). Shares of height and width as in Marigold's code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout, Window, scaled_png
from lotus_recon.datasets.benchmarks.source import Source
from lotus_recon.errors import InputError

CROP_HEIGHT, CROP_WIDTH = 352, 1216


def _read(source: Source, path: str) -> NDArray[np.float32]:
    return scaled_png(source, path, 256)


def _crop(height: int, width: int) -> Window:
    if height < CROP_HEIGHT or width < CROP_WIDTH:
        raise InputError(f"{width}x{height} pixels; KITTI is cropped to {CROP_WIDTH}x{CROP_HEIGHT} and must be larger")
    top, left = height - CROP_HEIGHT, (width - CROP_WIDTH) // 2
    return slice(top, height), slice(left, left + CROP_WIDTH)


def _share(top: float, bottom: float, left: float, right: float) -> Callable[[int, int], Window]:
    def window(height: int, width: int) -> Window:
        return slice(int(top * height), int(bottom * height)), slice(int(left * width), int(right * width))

    return window


EIGEN = DepthLayout(
    BenchmarkSpec(
        "KITTI",
        "kitti_eigen_split_test.tar of Marigold's evaluation data; eigen_test_files_with_gt.txt of its repository",
        min_depth=1e-5,
        max_depth=80.0,
    ),
    _read,
    crop=_crop,
    scored=_share(0.3324324, 0.91351351, 0.0359477, 0.96405229),
)
GARG = replace(EIGEN, scored=_share(0.40810811, 0.99189189, 0.03594771, 0.96405229))
