"""Error images: photo, prediction, ground truth and error side by side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import Benchmark
from lotus_recon.evaluation.config import MapsConfig
from lotus_recon.evaluation.predict import prediction_file
from lotus_recon.evaluation.score import SetScores, Task, depth_error_map, depth_pair, normals_error_map, normals_pair
from lotus_recon.io.images import resize_rgb, write_png
from lotus_recon.io.maps import load_prediction
from lotus_recon.types import BoolArray, DepthKind

DEPTH_SCALE = 0.5  # relative error at the end of the colours
ANGLE_SCALE_DEG = 60.0
_NO_VALUE = 48
_MAX_EDGE_PX = 640  # of each of the four images


def write_worst(
    benchmark: Benchmark, task: Task, folder: Path, scores: SetScores, out: Path, config: MapsConfig
) -> list[Path]:
    """Write ``<rank>_<name>.png`` of the worst photos of a set: photo, prediction, truth and error, side by side."""
    index = {benchmark.name(i): i for i in range(len(benchmark))}
    paths = []
    for rank, name in enumerate(scores.worst(config.worst), 1):
        make = _depth_parts if task == "depth" else _normals_parts
        parts = make(benchmark, index[name], folder, config)
        paths.append(out / f"{rank:02d}_{name.replace('/', '_')}.png")
        write_png(paths[-1], np.concatenate([_reduced(part) for part in parts], axis=1))
    return paths


def _depth_parts(benchmark: Benchmark, index: int, folder: Path, config: MapsConfig) -> list[NDArray[np.uint8]]:
    prediction = load_prediction(prediction_file(folder, benchmark.name(index)))
    truth = benchmark.truth(index)
    depth, gt, compared, _ = depth_pair(prediction, truth, config)
    far = depth.kind is not DepthKind.AFFINE_DISPARITY
    error = depth_error_map(prediction, truth, benchmark.spec, config)
    return [
        benchmark.photo(index),
        _nearness(-depth.values if far else depth.values, depth.valid),
        _nearness(1 / np.where(compared, gt, 1) if not far else -gt, compared),
        _colored(error / DEPTH_SCALE, np.isfinite(error), cv2.COLORMAP_MAGMA),
    ]


def _normals_parts(benchmark: Benchmark, index: int, folder: Path, config: MapsConfig) -> list[NDArray[np.uint8]]:
    prediction = load_prediction(prediction_file(folder, benchmark.name(index)))
    truth = benchmark.truth(index)
    normals, gt, compared, _ = normals_pair(prediction, truth, config)
    error = normals_error_map(prediction, truth, config)
    return [
        benchmark.photo(index),
        _directions(normals.values, normals.valid),
        _directions(gt, compared),
        _colored(error / ANGLE_SCALE_DEG, np.isfinite(error), cv2.COLORMAP_MAGMA),
    ]


def _nearness(values: NDArray, valid: BoolArray) -> NDArray[np.uint8]:
    if not valid.any():
        return _colored(np.zeros(valid.shape), valid, cv2.COLORMAP_TURBO)
    low, high = np.percentile(values[valid], (1, 99))
    return _colored((values - low) / max(high - low, 1e-12), valid, cv2.COLORMAP_TURBO)


def _colored(share: NDArray, valid: BoolArray, colors: int) -> NDArray[np.uint8]:
    grey = np.clip(np.where(valid, share, 0) * 255, 0, 255).astype(np.uint8)
    bgr = cv2.applyColorMap(grey, colors)
    return np.where(valid[..., None], bgr[..., ::-1], _NO_VALUE).astype(np.uint8)


def _directions(normals: NDArray, valid: BoolArray) -> NDArray[np.uint8]:
    """x right, y up, z towards the camera as red, green and blue, as in other normal maps."""
    rgb = np.clip((normals * np.array([1, -1, -1]) + 1) * 127.5, 0, 255)
    return np.where(valid[..., None], rgb, _NO_VALUE).astype(np.uint8)


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, _MAX_EDGE_PX / max(image.shape[:2]))
    return resize_rgb(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
