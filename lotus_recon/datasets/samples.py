"""Samples of training sets: a photo with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo and its ground truth, all of one size; depth or normals may be missing as a whole."""

    name: str  # unique in its data set, for messages
    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: NDArray[np.float32] | None  # (H, W) z-depth, metres
    depth_valid: BoolArray | None  # (H, W)
    sky: BoolArray | None  # (H, W) pixels that are infinitely far; never valid
    normals: NDArray[np.float32] | None  # (H, W, 3) unit, OpenCV camera axes, facing the camera
    normals_valid: BoolArray | None  # (H, W)

    def __post_init__(self) -> None:
        for maps in (self.depth, self.depth_valid, self.sky, self.normals, self.normals_valid):
            if maps is not None and maps.shape[:2] != self.rgb.shape[:2]:
                raise InputError(f"{self.name}: a map of size {maps.shape[:2]} beside a photo of {self.rgb.shape[:2]}")
        if (self.depth is None) != (self.depth_valid is None) or (self.normals is None) != (self.normals_valid is None):
            raise InputError(f"{self.name}: depth and normals need their valid masks")


class TrainingSet(Protocol):
    """A data set on disk. Opening one lists its files and raises InputError when the folder does not hold it."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def name(self, index: int) -> str:
        """Name of a sample, without reading it."""
        ...

    def load(self, index: int) -> Sample:
        """Read a sample. Raises InputError naming the file when it is missing, broken or holds nothing valid."""
        ...
