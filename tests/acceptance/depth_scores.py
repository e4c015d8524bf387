"""Scores of depth of single photos, for maps that see nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.own import SENSOR_RANGE_M
from lotus_recon.datasets.single_images import MeasuredPhoto
from lotus_recon.evaluation.metrics import depth_metrics

MIN_DEPTH_M, MAX_DEPTH_M = SENSOR_RANGE_M  # the aligned prediction is clipped to it, too


def depth_scores(photos: Sequence[MeasuredPhoto], disparities: Sequence[NDArray[np.float32]]) -> list[dict[str, float]]:
    """Scores of each photo after the affine alignment in disparity."""
    return [
        depth_metrics(
            disparity,
            photo.depth,
            photo.valid & (photo.depth > MIN_DEPTH_M) & (photo.depth < MAX_DEPTH_M),
            align="affine_disparity",
            min_depth=MIN_DEPTH_M,
            max_depth=MAX_DEPTH_M,
        )
        for photo, disparity in zip(photos, disparities, strict=True)
    ]


def trivial_disparities(photo: MeasuredPhoto) -> dict[str, NDArray[np.float32]]:
    """Maps that do not look at the photo: what a model must beat."""
    height, width = photo.depth.shape
    ramp = np.broadcast_to(np.linspace(0.1, 1, height, dtype=np.float32)[:, None], (height, width))
    return {"constant": np.ones((height, width), np.float32), "vertical ramp": np.ascontiguousarray(ramp)}


def mean_of(scores: Sequence[dict[str, float]], name: str) -> float:
    """Mean of one score over the photos that have it."""
    return float(np.nanmean([score[name] for score in scores]))
