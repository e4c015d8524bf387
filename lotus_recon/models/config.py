"""Options of the prediction stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class PredictionConfig:
    """Which model predicts depth and normals, and how."""

    model: str | None = None
    """A name (see the list printed without --model), a Hub id, a folder, DEPTH,NORMAL, or precomputed."""
    predictions: Path | None = None
    """Folder of <view>.npz files, for --model precomputed."""
    task: Literal["depth", "normal"] | None = None
    """What a checkpoint of unknown name predicts. Known ones need not be told."""
    depth_space: Literal["disparity", "depth"] | None = None
    """What the depth of a checkpoint of unknown name is affine in. Known ones need not be told."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id. None takes its main branch."""
    processing_res: int | None = None
    """Longer edge in pixels at which the network works; 0 = that of the photo; None = the checkpoint's default."""
    images_per_batch: int | None = None
    """Photos per network call; None = 4 on a GPU, 1 elsewhere. Halved when memory runs out."""
