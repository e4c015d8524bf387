"""The second loop: scores of stored maps against ground truth, per photo and per set."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.calibration.stage import depth_as_written
from lotus_recon.datasets.benchmarks.base import Benchmark, BenchmarkSpec, Truth
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig
from lotus_recon.evaluation.metrics import DepthAlignment, aligned_depth, depth_metrics, normal_errors_deg
from lotus_recon.evaluation.pooled import AnglePool
from lotus_recon.evaluation.predict import prediction_file
from lotus_recon.evaluation.robust import robust_metrics
from lotus_recon.io.maps import load_prediction
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthKind, DepthMap, NormalMap, Prediction

# The score that ranks photos for the error images: the first of these that a photo has.
_BADNESS = ("abs_rel", "mean", "metric_rel", "scale_rel", "affine_rel", "disparity_rel")
_SHOWN = 5
ONE_SCALE = "abs_rel_one_scale"

Task = Literal["depth", "normals"]


@dataclass(frozen=True)
class SetScores:
    """Scores of a set: over all, and of every photo by name."""

    title: str
    overall: dict[str, float]
    photos: dict[str, dict[str, float]]
    pixels: int  # that were compared
    coverage: float  # share of the pixels with ground truth that have a prediction

    def worst(self, count: int) -> list[str]:
        """Names of the photos with the largest errors."""
        if not self.photos:
            return []
        key = next(name for name in _BADNESS if name in next(iter(self.photos.values())))
        return sorted(self.photos, key=lambda name: self.photos[name][key], reverse=True)[:count]


@dataclass(frozen=True)
class _Scored:
    scores: dict[str, float]
    angles_deg: NDArray[np.float64] | None
    compared: int
    total: int  # pixels with ground truth


def score_set(benchmark: Benchmark, task: Task, folder: Path, count: int, config: MapsConfig) -> SetScores:
    """Scores of the first ``count`` photos of a set; ``task`` is depth or normals.

    Depth scores of a set are means over its photos, those of normals are over all of its pixels. Raises InputError when
    maps are missing (before any is read), or one does not fit its ground truth.
    """
    names = [benchmark.name(i) for i in range(count)]
    refuse_missing(folder, names, benchmark.spec.title)
    score = _score_depth if task == "depth" else _score_normals

    def scored_photo(index: int) -> _Scored:
        return _in_context(names[index], lambda: score(*_pair(benchmark, index, folder, task), benchmark.spec, config))

    photos: dict[str, dict[str, float]] = {}
    pool, compared, total = AnglePool(), 0, 0
    with ThreadPoolExecutor(max(1, config.workers)) as threads:
        results = track(threads.map(scored_photo, range(count)), f"scoring {benchmark.spec.title}", count)
        for name, scored in zip(names, results, strict=True):
            photos[name] = scored.scores
            compared, total = compared + scored.compared, total + scored.total
            if scored.angles_deg is not None:
                pool.add(scored.angles_deg)
    overall = pool.scores() if task == "normals" else _means(list(photos.values()))
    return SetScores(benchmark.spec.title, overall, photos, compared, compared / total)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _in_context(name: str, work: Callable[[], _Scored]) -> _Scored:
    try:
        return work()
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def refuse_missing(folder: Path, names: list[str], title: str) -> None:
    """Raise InputError when photos ``names`` have no prediction in ``folder``."""
    missing = [name for name in names if not prediction_file(folder, name).is_file()]
    if missing:
        listed = ", ".join(str(prediction_file(folder, name)) for name in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(f"{title}: {len(missing)} of {len(names)} photos have no prediction: {listed}{more}")


def _pair(benchmark: Benchmark, index: int, folder: Path, task: Task) -> tuple[Prediction, Truth]:
    # Depth is scored as single_view writes it too, which asks the normals.
    only = None if task == "depth" else task
    return load_prediction(prediction_file(folder, benchmark.name(index)), only=only), benchmark.truth(index)


def depth_pair(prediction: Prediction, truth: Truth, config: MapsConfig) -> tuple[DepthMap, NDArray, BoolArray, int]:
    """Predicted depth, true depth (H, W), pixels to compare (H, W), and the number of pixels without prediction."""
    if prediction.depth is None or truth.depth is None or truth.depth_valid is None:
        raise InputError(f"the {'prediction' if prediction.depth is None else 'data set'} has no depth")
    compared, holes = _compared(truth.depth_valid, prediction.depth.valid, config)
    return prediction.depth, truth.depth, compared, holes


def normals_pair(prediction: Prediction, truth: Truth, config: MapsConfig) -> tuple[NormalMap, NDArray, BoolArray, int]:
    """Predicted normals, true normals (H, W, 3), pixels to compare (H, W), and the number without prediction.

    Pixels with a direction are compared even if the model marks them invalid, such as those that face away from the
    camera: the protocol counts every pixel of the ground truth.
    """
    if prediction.normals is None or truth.normals is None or truth.normals_valid is None:
        raise InputError(f"the {'prediction' if prediction.normals is None else 'data set'} has no normals")
    predicted = prediction.normals.valid | (np.linalg.norm(prediction.normals.values, axis=-1) > 0)
    compared, holes = _compared(truth.normals_valid, predicted, config)
    return prediction.normals, truth.normals, compared, holes


def _compared(true_valid: BoolArray, predicted: BoolArray, config: MapsConfig) -> tuple[BoolArray, int]:
    if true_valid.shape != predicted.shape:
        raise InputError(f"the prediction is {predicted.shape}, the ground truth {true_valid.shape}: sizes must agree")
    holes = int((true_valid & ~predicted).sum())
    if holes and config.holes == "refuse":
        raise InputError(f"{holes} of {true_valid.sum()} pixels with ground truth have no prediction; see --holes skip")
    return true_valid & predicted, holes


def _score_depth(prediction: Prediction, truth: Truth, spec: BenchmarkSpec, config: MapsConfig) -> _Scored:
    depth, gt, compared, holes = depth_pair(prediction, truth, config)
    scores: dict[str, float] = {}
    if config.protocol != "robust":
        scores |= depth_metrics(
            depth.values,
            gt,
            compared,
            alignment_of(depth.kind, config),
            spec.min_depth,
            spec.max_depth,
            spec.alignment_resolution,
        )
        scores[ONE_SCALE] = _one_scale(prediction, gt, compared, spec)
    if config.protocol != "papers":
        scores |= robust_metrics(depth.values, gt, compared, depth.kind, config.truncation)
    count = int(compared.sum())
    return _Scored(scores, None, count, count + holes)


def _one_scale(prediction: Prediction, gt: NDArray, compared: BoolArray, spec: BenchmarkSpec) -> float:
    """AbsRel of the depth that single_view writes after one best scale: no user has a shift to fit."""
    depth = depth_as_written(prediction, OutputConfig())
    return depth_metrics(depth.values, gt, compared, "scale", spec.min_depth, spec.max_depth)["abs_rel"]


def _score_normals(prediction: Prediction, truth: Truth, spec: BenchmarkSpec, config: MapsConfig) -> _Scored:
    normals, gt, compared, holes = normals_pair(prediction, truth, config)
    angles = normal_errors_deg(normals.values, gt, compared)
    pool = AnglePool()
    pool.add(angles)
    return _Scored(pool.scores(), angles, len(angles), len(angles) + holes)


def alignment_of(kind: DepthKind, config: MapsConfig) -> DepthAlignment:
    """The alignment that the papers' protocol uses for depth of this kind."""
    if config.align != "auto":
        return config.align
    return "affine_disparity" if kind is DepthKind.AFFINE_DISPARITY else "affine"


def depth_error_map(
    prediction: Prediction, truth: Truth, spec: BenchmarkSpec, config: MapsConfig
) -> NDArray[np.float64]:
    """(H, W) |d - g| / g of the depth that the papers' protocol scores; NaN at pixels that are not compared."""
    depth, gt, compared, _ = depth_pair(prediction, truth, config)
    kind = alignment_of(depth.kind, config)
    limits = (spec.min_depth, spec.max_depth, spec.alignment_resolution)
    aligned = aligned_depth(depth.values, gt, compared, kind, *limits)
    return np.asarray(np.abs(aligned - gt) / np.where(gt > 0, gt, np.nan))


def normals_error_map(prediction: Prediction, truth: Truth, config: MapsConfig) -> NDArray[np.float64]:
    """(H, W) angles in degrees; NaN at pixels that are not compared."""
    normals, gt, compared, _ = normals_pair(prediction, truth, config)
    angles = np.full(compared.shape, np.nan)
    angles[compared & (np.linalg.norm(gt, axis=-1) > 0)] = normal_errors_deg(normals.values, gt, compared)
    return angles
