"""Error bars of the depth of a single photo: nothing calibrates them but rendered rooms and worlds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.io.maps import save_maps
from lotus_recon.types import BoolArray, Camera, DepthKind, DepthMap, FloatArray, NormalMap, Prediction
from lotus_recon.uncertainty.predictors import shape_predictors, spread_predictor
from lotus_recon.uncertainty.results import UncertaintyResult, ViewUncertainty
from lotus_recon.uncertainty.scale import ErrorScale, learnt

FILE = "uncertainty.npz"
_EDGE_PX = (
    1024  # longer edge at which predictors are computed: they are smooth, and large photos would take much memory
)
_FITTED = 20_000  # pixels


def run(name: str, prediction: Prediction, depth: DepthMap, camera: Camera, out_dir: Path) -> UncertaintyResult:
    """Write uncertainty.npz with ``sigma`` (H, W) of ``depth``, relative to it and up to one factor, and its report."""
    scale, of_pixels = scale_of(prediction, depth, camera)
    sigma = np.where(depth.valid, scale.rooms.factor * of_pixels, np.float32(0))
    save_maps(out_dir / FILE, sigma=sigma)
    known = sigma[sigma > 0]
    percentiles = np.percentile(known, [50, 90]).tolist() if len(known) else [0.0, 0.0]
    result = UncertaintyResult(out_dir, scale.rooms, (ViewUncertainty(name, *percentiles),))
    result.save()
    return result


def scale_of(prediction: Prediction, depth: DepthMap, camera: Camera) -> tuple[ErrorScale, NDArray[np.float32]]:
    """What was learnt for the predictors that there are, and what they give (H, W) for ``depth``, made positive."""
    predictors = predictors_of(prediction, depth, camera)
    scale = learnt("photo", list(predictors))
    height, width = depth.shape
    enlarged = cv2.resize(scale.of(predictors), (width, height), interpolation=cv2.INTER_LINEAR)
    return scale, np.asarray(enlarged, np.float32)


def predictors_of(prediction: Prediction, depth: DepthMap, camera: Camera) -> dict[str, NDArray[np.float32]]:
    """All predictors that the maps (H, W) allow, at a longer edge of at most 1024 pixels."""
    step = max(1, -(-max(depth.shape) // _EDGE_PX))
    some = np.s_[step // 2 :: step, step // 2 :: step]
    small = DepthMap(depth.values[some], depth.valid[some], depth.kind)
    normals = prediction.normals
    reduced = None if normals is None else NormalMap(normals.values[some], normals.valid[some])
    found = shape_predictors(small, reduced, camera.resized(small.shape[1], small.shape[0]))
    if prediction.depth is not None and prediction.depth_sigma is not None:
        found["spread"] = spread_predictor(_relative_spread(prediction.depth, prediction.depth_sigma, depth)[some])
    return found


def _relative_spread(predicted: DepthMap, spread: NDArray[np.float32], depth: DepthMap) -> NDArray[np.float64]:
    """(H, W) standard deviation of ``depth`` of that of the predicted values, relative to it."""
    if not predicted.kind.has_shift:
        return np.asarray(spread / np.maximum(predicted.values, 1e-9), np.float64)
    positive = np.where(depth.valid, depth.values, 1.0)
    shown = 1 / positive if predicted.kind is DepthKind.AFFINE_DISPARITY else positive
    slope = _slope(predicted.values, shown, predicted.valid & depth.valid)
    return np.asarray(abs(slope) * spread / shown, np.float64)


def _slope(values: FloatArray, of: FloatArray, valid: BoolArray) -> float:
    """Of the line that leads from ``values`` to ``of`` (H, W)."""
    at = grid_samples(valid, _FITTED)
    x, y = np.asarray(values[at], np.float64), np.asarray(of[at], np.float64)
    spread = float(np.var(x)) if len(x) else 0.0
    return float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else 0.0
