"""Options of the prediction stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class PredictionConfig:
    """Which model predicts depth and normals, and how."""

    # A name (an unknown one gets the list of them), a Hub id, a folder, DEPTH,NORMAL, or precomputed.
    model: str = "nano"
    # Folder of <view>.npz files, for --model precomputed.
    predictions: Path | None = None
    # What a checkpoint of unknown name predicts. Known ones need not be told.
    task: Literal["depth", "normal"] | None = None
    # What the depth of a checkpoint of unknown name is affine in. Known ones need not be told.
    depth_space: Literal["disparity", "depth"] | None = None
    # Branch, tag or commit of a Hub id. None takes its main branch.
    revision: str | None = None
    # Longer edge in pixels at which the network works; 0 = that of the photo; None = the checkpoint's default.
    processing_res: int | None = None
    # Photos per network call; None = 4 on a GPU, 1 elsewhere. Halved when memory runs out.
    images_per_batch: int | None = None
