"""DIODE, the validation images, indoors and outdoors (Vasiljevic et al., 2019): depth in metres and a mask, as npy.

The mask alone chooses the pixels; the limits only clip the prediction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout
from lotus_recon.datasets.benchmarks.source import Source
from lotus_recon.errors import InputError


def _read(source: Source, path: str) -> NDArray[np.float32]:
    depth = np.asarray(source.array(path)).squeeze().astype(np.float32)
    if depth.ndim != 2:
        raise InputError(f"{source.where(path)} has shape {depth.shape}; allowed: (H, W) or (H, W, 1)")
    return depth


LAYOUT = DepthLayout(
    BenchmarkSpec(
        "DIODE",
        "diode_val.tar of Marigold's evaluation data; diode_val_all_filename_list.txt of its repository",
        min_depth=0.6,
        max_depth=350.0,
    ),
    _read,
    has_mask_file=True,
)
