"""ScanNet (Dai et al., CVPR 2017): 800 images that Marigold sampled of its validation scenes; depth in millimetres."""

from __future__ import annotations

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec
from lotus_recon.datasets.benchmarks.listed_depth import DepthLayout, millimetres

LAYOUT = DepthLayout(
    BenchmarkSpec(
        "ScanNet",
        "scannet_val_sampled_800_1.tar of Marigold's evaluation data; scannet_val_sampled_list_800_1.txt of its "
        "repository",
        min_depth=1e-3,
        max_depth=10.0,
    ),
    millimetres,
)
