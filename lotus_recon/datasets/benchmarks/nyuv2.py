"""NYUv2, the 654 test images (Silberman et al., ECCV 2012), as Marigold prepared them: depth in millimetres.

Scored inside the window that Eigen et al. (NeurIPS 2014) use: rows 45-470, columns 41-600 of 640x480.
"""

from __future__ import annotations

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout, millimetres

LAYOUT = DepthLayout(
    BenchmarkSpec(
        "NYUv2",
        "nyu_labeled_extracted.tar of Marigold's evaluation data; filename_list_test.txt of its repository",
        min_depth=1e-3,
        max_depth=10.0,
    ),
    millimetres,
    scored=lambda height, width: (slice(45, 471), slice(41, 601)),
)
