"""What a benchmark set hands out, and the spec that its protocol fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class Truth:
    """What is measured of one photo; depth or normals may be missing as a whole. All at the size of the photo."""

    depth: NDArray[np.float32] | None = None  # (H, W) z-depth, unit of the set
    depth_valid: BoolArray | None = None  # (H, W) the pixels that the protocol scores
    normals: NDArray[np.float32] | None = None  # (H, W, 3) unit, OpenCV camera axes, facing the camera
    normals_valid: BoolArray | None = None  # (H, W)


@dataclass(frozen=True)
class BenchmarkSpec:
    """What the protocol of a set fixes besides its files."""

    title: str  # as tables name it
    origin: str  # who made it, and where it comes from
    min_depth: float | None = None  # limits that the aligned prediction is clipped to, unit of the set
    max_depth: float | None = None
    alignment_resolution: int | None = None  # cap of what the least-squares fit sees, in pixels
    padding: int = 1  # photos are padded with black to a multiple of this before prediction
    unit: str = "m"


class Benchmark(Protocol):
    """A benchmark set on disk. Making one reads its list; ``missing`` says what of it is not there."""

    spec: BenchmarkSpec

    def __len__(self) -> int:
        """How many photos there are."""
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
