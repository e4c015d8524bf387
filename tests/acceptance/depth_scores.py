"""How well a model sees depth in single photos, beside maps that see nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.single_images import MeasuredPhoto
from lotus_recon.evaluation.metrics import depth_metrics
from lotus_recon.models.base import Model

# Sensors of rooms are not to be believed nearer or farther; the aligned prediction is clipped to the same range.
MIN_DEPTH_M, MAX_DEPTH_M = 0.3, 10.0


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


def predicted_disparities(model: Model, photos: Sequence[MeasuredPhoto]) -> list[NDArray[np.float32]]:
    """The model's disparity of each photo."""
    found = []
    for photo in photos:
        prediction = model.predict(photo.rgb)
        assert prediction.depth is not None
        found.append(prediction.depth.values)
    return found


def trivial_disparities(photo: MeasuredPhoto) -> dict[str, NDArray[np.float32]]:
    """Maps that do not look at the photo: what a model must beat."""
    height, width = photo.depth.shape
    ramp = np.broadcast_to(np.linspace(0.1, 1, height, dtype=np.float32)[:, None], (height, width))
    return {"constant": np.ones((height, width), np.float32), "vertical ramp": np.ascontiguousarray(ramp)}


def mean_of(scores: Sequence[dict[str, float]], name: str) -> float:
    """Mean of one score over photos."""
    return float(np.mean([score[name] for score in scores]))
