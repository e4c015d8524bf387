"""A set and a model made of arrays, for tests that need to know every number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec, Truth
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction

SIZE = (20, 30)  # height, width


def depth_of(index: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(100 + index)
    return rng.uniform(1, 8, SIZE).astype(np.float32)


def normals_of(index: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(200 + index)
    raw = rng.standard_normal((*SIZE, 3)) - np.array([0, 0, 3])
    return (raw / np.linalg.norm(raw, axis=-1, keepdims=True)).astype(np.float32)


class ArraySet:
    """``count`` photos; the red of photo i is i everywhere, so that a model can tell them apart."""

    def __init__(self, count: int = 3, padding: int = 1) -> None:
        self.spec = BenchmarkSpec("toy", "this test", min_depth=0.5, max_depth=10.0, padding=padding)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        return f"scene/{index:02d}"

    def photo(self, index: int) -> NDArray[np.uint8]:
        return np.full((*SIZE, 3), (index, 7, 7), np.uint8)

    def truth(self, index: int) -> Truth:
        valid = np.ones(SIZE, bool)
        valid[0] = False
        return Truth(depth_of(index), valid, normals_of(index), valid)

    def missing(self) -> list[str]:
        return []


class KnowingModel:
    """Predicts the truth of an ``ArraySet``, its disparity times ``index`` + 1 so that alignment has work to do."""

    name, tasks, batch_size = "knowing", ("depth", "normal"), 2

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        self.seen.append(rgb)
        index = int(rgb[rgb.shape[0] // 2, rgb.shape[1] // 2, 0])
        height, width = rgb.shape[:2]
        top, left = (height - SIZE[0]) // 2, (width - SIZE[1]) // 2
        window = (slice(top, top + SIZE[0]), slice(left, left + SIZE[1]))
        disparity = np.full((height, width), 9.0, np.float32)
        disparity[window] = (index + 1) / depth_of(index) + 0.1
        normals = np.zeros((height, width, 3), np.float32)
        normals[..., 2] = -1
        normals[window] = normals_of(index)
        everywhere = np.ones((height, width), bool)
        depth = DepthMap(disparity, everywhere, DepthKind.AFFINE_DISPARITY)
        return Prediction(depth, NormalMap(normals, everywhere), {"model": "knowing"})

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        return [self.predict(rgb, seed) for rgb in images]
