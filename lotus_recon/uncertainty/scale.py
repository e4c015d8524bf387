"""The scale of the error of depth, log-linear in its predictors, as learnt on rendered rooms."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lotus_recon.types import FloatArray
from lotus_recon.uncertainty.conformal import ROOMS, Calibration, calibrated

FILE = "learnt.json"
_LEAST_ERROR = 1e-4  # relative: below, no truth is as exact
_KEPT_PERCENT = (0.5, 99.5)  # predictors beyond what was learnt from count as the ends of it


@dataclass(frozen=True)
class ErrorScale:
    """exp(offset + sum of weight times predictor), relative to depth: the standard deviation in rendered rooms."""

    offset: float
    weights: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]  # of the predictors, where it was learnt
    rooms: Calibration  # whose factor is in the offset, and therefore 1 here

    def of(self, predictors: Mapping[str, FloatArray]) -> NDArray[np.float32]:
        """Scale (any shape) of the relative error at predictors of that shape."""
        total: Any = self.offset
        for name, weight in self.weights.items():
            total = total + weight * np.clip(predictors[name], *self.ranges[name])
        return np.exp(total).astype(np.float32)


def learnt(kind: str, names: Sequence[str]) -> ErrorScale:
    """What was learnt of ``kind`` scene or photo with just these predictors."""
    return _all_learnt()[kind, frozenset(names)]


@functools.cache
def _all_learnt() -> dict[tuple[str, frozenset[str]], ErrorScale]:
    rows = json.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    scales = [(row.pop("kind"), ErrorScale(**row | {"rooms": Calibration(**row["rooms"])})) for row in rows]
    return {(kind, frozenset(scale.weights)): scale for kind, scale in scales}


def save(path: Path, scales: Mapping[str, Sequence[ErrorScale]]) -> None:
    """Write what ``learnt`` reads, by kind."""
    rows = [{"kind": kind, **asdict(scale)} for kind, of_kind in scales.items() for scale in of_kind]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def fit(predictors: Mapping[str, FloatArray], errors: FloatArray, names: Sequence[str]) -> ErrorScale:
    """Learn the scale of ``errors`` (N,), relative to depth, from the named predictors (N,) of the same pixels.

    Most likely where errors / scale follow Laplace's distribution, whose tails are nearer to those of depth than the
    normal one's.
    """
    size = np.maximum(np.abs(errors), _LEAST_ERROR)
    ranges = {name: tuple(np.percentile(predictors[name], _KEPT_PERCENT).tolist()) for name in names}
    X = np.stack([np.clip(predictors[name], *ranges[name]) for name in names], axis=1).astype(np.float64)
    mean, spread = X.mean(0), X.std(0) + 1e-9
    Z = np.concatenate([np.ones((len(X), 1)), (X - mean) / spread], axis=1)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_scale = Z @ w
        ratio = size * np.exp(-log_scale)
        return float((log_scale + ratio).mean()), Z.T @ (1 - ratio) / len(Z)

    start = np.zeros(Z.shape[1])
    start[0] = np.log(size.mean())
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights = found[1:] / spread
    offset = float(found[0] - (weights * mean).sum())
    raw = ErrorScale(offset, dict(zip(names, weights.tolist(), strict=True)), ranges, Calibration(1, 1, 0, ROOMS))
    rooms = calibrated(errors, raw.of(predictors), ROOMS)
    return replace(raw, offset=offset + float(np.log(rooms.factor)), rooms=replace(rooms, factor=1.0))
