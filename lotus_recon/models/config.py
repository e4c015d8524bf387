"""Options of the prediction stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from lotus_recon.limits import BatchSize, Edge
from lotus_recon.options import Options


@dataclass(frozen=True)
class AdvancedPrediction(Options):
    """Options that few need to turn, in YAML only."""

    # Photos per network call; none: 4 on a GPU, 1 elsewhere. Halved when memory runs out.
    images_per_batch: BatchSize | None = None


@dataclass(frozen=True)
class PredictionConfig(Options):
    """Which model predicts depth and normals, and how."""

    # A name (an unknown one gets the list of them), a Hub id, a folder, DEPTH,NORMAL, or precomputed.
    model: str = "nano"
    # Folder of maps, for --model precomputed: ours, or as Lotus, Marigold, Depth Anything or MoGe write them.
    predictions: Path | None = None
    # What stored depth means where its files do not say it.
    depth_kind: Literal["METRIC", "SCALE_FREE", "AFFINE", "AFFINE_DISPARITY"] | None = None
    # Unit of metric stored depth where its files do not say it: m, cm, mm, or the metres in a unit.
    depth_unit: str | None = None
    # Axes of stored normals where their files do not say it: opencv is right, down, forward; opengl is
    # right, up, to the camera; lotus is left, up, to the camera.
    normals_axes: Literal["opencv", "opengl", "lotus"] | None = None
    # What a checkpoint of unknown name predicts.
    task: Literal["depth", "normal"] | None = None
    # What the depth of a checkpoint of unknown name is affine in.
    depth_space: Literal["disparity", "depth"] | None = None
    # Branch, tag or commit of a Hub id. None: its main branch.
    revision: str | None = None
    # Longer edge at which the network works; 0: that of the photo; none: the checkpoint's default.
    processing_res: Edge | None = None
    # Sharpen the maps of large photos by tiles: off, auto (as many as the photo has detail for), or the longer side
    # of a tile in pixels of the photo.
    tiles: str = "off"
    # Predictions of every photo, whose median is taken: with other noise (G), or of the photo mirrored and cut.
    ensemble: Annotated[int, Interval(ge=1, le=64)] = 1
    advanced: AdvancedPrediction = field(default_factory=AdvancedPrediction)
