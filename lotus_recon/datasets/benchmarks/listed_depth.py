"""Depth sets with a list of files: the layout that Marigold prepared and that Lotus and others score on.

A line names the photo and its depth (NYUv2: also the filled depth; DIODE: also the mask; KITTI: also a focal length).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.benchmarks.base import BenchmarkSpec, Truth
from lotus_recon.datasets.benchmarks.source import Source, read_list, refuse_shared_names
from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray

Window = tuple[slice, slice]


@dataclass(frozen=True)
class DepthLayout:
    """The spec and layout of one such set."""

    spec: BenchmarkSpec
    read: Callable[[Source, str], NDArray[np.float32]]  # file of depth -> (H, W), unit of the set, 0 where missing
    has_mask_file: bool = False  # the third word of a line is an npy mask, and no limits choose pixels
    crop: Callable[[int, int], Window] | None = None  # height, width -> what is left of photo and depth
    scored: Callable[[int, int], Window] | None = None  # height, width (after the crop) -> the pixels that count


class ListedDepthSet:
    """Photos and depth of a set, from a folder or a tar archive and a list of its files.

    Raises InputError when the list cannot be used. Lines whose depth is "None" (KITTI) are left out.
    """

    def __init__(self, layout: DepthLayout, root: Path, file_list: Path) -> None:
        self.spec = layout.spec
        self._layout = layout
        self._source = Source(root)
        rows = [row for row in read_list(file_list) if row[1:2] != ["None"]]
        self._rows = [self._files_of(row, f"{file_list}: entry {number}") for number, row in enumerate(rows, 1)]
        refuse_shared_names(((self.name(i), row[0]) for i, row in enumerate(self._rows)), file_list)

    def _files_of(self, row: list[str], where: str) -> list[str]:
        """Photo, depth and, where the set has it, mask of a line, as paths in the set."""
        needed = 3 if self._layout.has_mask_file else 2
        if len(row) < needed:
            words = f"photo, depth{' and mask' if needed == 3 else ''}"
            raise InputError(f"{where} has {len(row)} words; {self.spec.title} needs {words}")
        try:
            return [self._source.inside(path) for path in row[:needed]]
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, index: int) -> str:
        """Path of the photo without suffix."""
        return str(PurePosixPath(self._rows[index][0]).with_suffix(""))

    def missing(self) -> list[str]:
        """Files of the list that the set lacks."""
        return self._source.without(path for row in self._rows for path in row)

    def photo(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) the photo, cropped."""
        rgb = self._source.photo(self._rows[index][0])
        return np.ascontiguousarray(rgb[self._window(self._rows[index][0], rgb.shape)])

    def truth(self, index: int) -> Truth:
        """Depth, and the pixels that count: inside the limits and the window of the protocol."""
        row = self._rows[index]
        depth = self._layout.read(self._source, row[1])
        depth = depth[self._window(row[1], depth.shape)]
        return Truth(depth, self._scored(row, depth))

    def _scored(self, row: list[str], depth: NDArray[np.float32]) -> BoolArray:
        if self._layout.has_mask_file:
            mask = np.asarray(self._source.array(row[2])).squeeze() != 0
            if mask.shape != depth.shape:
                raise InputError(f"{self._source.where(row[2])}: mask {mask.shape}, depth {depth.shape}: must agree")
            return mask & np.isfinite(depth) & (depth > 0)
        low, high = self.spec.min_depth, self.spec.max_depth
        valid: BoolArray = np.isfinite(depth) & (depth > (low or 0))
        if high is not None:
            valid &= depth < high
        if self._layout.scored is not None:
            inside = np.zeros(depth.shape, bool)
            inside[self._layout.scored(*depth.shape)] = True
            valid &= inside
        return valid

    def _window(self, path: str, shape: tuple[int, ...]) -> Window:
        if self._layout.crop is None:
            return slice(None), slice(None)
        try:
            return self._layout.crop(shape[0], shape[1])
        except InputError as error:
            raise InputError(f"{self._source.where(path)}: {error}") from None


def millimetres(source: Source, path: str) -> NDArray[np.float32]:
    """(H, W) depth in metres of a PNG in millimetres."""
    return scaled_png(source, path, 1000)


def scaled_png(source: Source, path: str, counts_per_metre: float) -> NDArray[np.float32]:
    """(H, W) depth in metres of a 16-bit PNG."""
    return np.asarray(source.png16(path) / counts_per_metre, np.float32)
