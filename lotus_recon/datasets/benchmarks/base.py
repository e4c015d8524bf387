"""The interface of benchmark sets, and the spec that the protocol of a set fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth of one photo, at its size; depth or normals may be missing as a whole."""

    depth: NDArray[np.float32] | None = None  # (H, W) z-depth, unit of the set
    depth_valid: BoolArray | None = None  # (H, W) the pixels that the protocol scores
    normals: NDArray[np.float32] | None = None  # (H, W, 3) unit, OpenCV camera axes, facing the camera
    normals_valid: BoolArray | None = None  # (H, W)


@dataclass(frozen=True)
class BenchmarkSpec:
    """The settings that the protocol of a set fixes."""

    title: str  # as tables name it
    origin: str  # who made it, and where it comes from
    min_depth: float | None = None  # limits that the aligned prediction is clipped to, unit of the set
    max_depth: float | None = None
    alignment_resolution: int | None = None  # cap of what the least-squares fit sees, in pixels
    padding: int = 1  # photos are padded with black to a multiple of this before prediction
    unit: str = "m"


class Benchmark(Protocol):
    """A benchmark set on disk. Opening one reads its file list; ``missing`` lists the absent files."""

    spec: BenchmarkSpec

    def __len__(self) -> int:
        """Number of photos."""
        ...

    def name(self, index: int) -> str:
        """Path of a photo in the set, without suffix: the name of its prediction."""
        ...

    def photo(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) the photo, cropped as the protocol says. Raises InputError when it cannot be read."""
        ...

    def truth(self, index: int) -> Truth:
        """Its ground truth. Raises InputError naming the file when it cannot be read."""
        ...

    def missing(self) -> Sequence[str]:
        """Files that the list names and the set lacks."""
        ...
