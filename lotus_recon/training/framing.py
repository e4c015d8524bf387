"""Samples cropped, mirrored and resized: the image and its geometry together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.types import BoolArray

# Neighbouring pixels that differ by more are not blended: relative difference of disparity; of a normal's coordinate.
DISPARITY_BREAK = 0.05
NORMAL_BREAK = 0.3


@dataclass(frozen=True)
class Box:
    """A part of an image, in whole pixels."""

    left: int
    top: int
    width: int
    height: int


def cropped(sample: Sample, box: Box) -> Sample:
    """The part ``box`` of a sample."""
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    return _mapped(sample, lambda map_: map_[rows, columns])


def mirrored(sample: Sample) -> Sample:
    """A sample flipped horizontally: its maps, and the x direction of its normals."""
    result = _mapped(sample, lambda map_: map_[:, ::-1])
    if result.normals is None:
        return result
    return replace(result, normals=result.normals * np.array([-1, 1, 1], np.float32))


def resized(sample: Sample, width: int, height: int) -> Sample:
    """A sample at another size. Colours are averaged or interpolated.

    Geometry takes the nearest source pixel and its validity. When enlarged, it is interpolated between pixels of one
    surface (disparity, which is linear on a plane), never across edges.
    """
    full_height, full_width = sample.rgb.shape[:2]
    if (full_width, full_height) == (width, height):
        return sample
    grid = _Grid(positions(full_width, width), positions(full_height, height))
    smaller = width * height < full_width * full_height
    rgb = cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    result = replace(_mapped(sample, grid.nearest), rgb=np.asarray(rgb, np.uint8))
    return result if smaller else _smoothed(result, sample, grid)


def cropped_nearest(map_: NDArray, box: Box, width: int, height: int) -> NDArray:
    """The part ``box`` of a map (H, W, ...) at another size: the nearest pixels."""
    part = map_[box.top : box.top + box.height, box.left : box.left + box.width]
    return _Grid(positions(box.width, width), positions(box.height, height)).nearest(part)


def positions(source: int, target: int) -> NDArray[np.float64]:
    """(N,) positions of the N = ``target`` new pixel centres among ``source`` pixels, in pixels."""
    return (np.arange(target) + 0.5) * source / target


@dataclass(frozen=True, eq=False)
class _Grid:
    """Positions of the pixels of the result in the source, in pixels; first pixel centre at 0.5."""

    x: NDArray[np.float64]  # (width,)
    y: NDArray[np.float64]  # (height,)

    def nearest(self, map_: NDArray) -> NDArray:
        """Values (H, W, ...) of the nearest pixels."""
        return map_[self.y.astype(np.intp)][:, self.x.astype(np.intp)]

    def linear(self, map_: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (H, W, ...), bilinear."""
        return np.asarray(cv2.resize(map_, (len(self.x), len(self.y)), interpolation=cv2.INTER_LINEAR))

    def of_cell(self, cells: BoolArray) -> BoolArray:
        """The same for the four pixels around each position, from ``cells`` (H, W) for (r, c) ... (r + 1, c + 1)."""
        return cells[np.maximum(self.y - 0.5, 0).astype(np.intp)][:, np.maximum(self.x - 0.5, 0).astype(np.intp)]


def _smoothed(result: Sample, source: Sample, grid: _Grid) -> Sample:
    """The enlarged ``result`` with geometry interpolated where the four pixels around lie on one surface."""
    if source.depth is not None and source.depth_valid is not None and result.depth is not None:
        disparity, smooth = _linear_disparity(source.depth, source.depth_valid, grid)
        result = replace(result, depth=np.where(smooth, 1 / np.where(smooth, disparity, 1), result.depth))
    if source.normals is not None and source.normals_valid is not None and result.normals is not None:
        normals, smooth = _linear_normals(source.normals, source.normals_valid, grid)
        result = replace(result, normals=np.where(smooth[..., None], normals, result.normals))
    return result


def _linear_disparity(
    depth: NDArray[np.float32], valid: BoolArray, grid: _Grid
) -> tuple[NDArray[np.float32], BoolArray]:
    """1 / depth between pixels, and where these are valid and on one surface."""
    disparity = np.where(valid, 1 / np.where(valid, depth, 1), np.float32(0))
    low, high = _extremes(disparity)
    return grid.linear(disparity), grid.of_cell((low > 0) & (high <= low * (1 + DISPARITY_BREAK)))


def _linear_normals(
    normals: NDArray[np.float32], valid: BoolArray, grid: _Grid
) -> tuple[NDArray[np.float32], BoolArray]:
    """Unit normals between pixels, and where these are valid and on one surface."""
    normals = np.where(valid[..., None], normals, np.float32(0))  # 0 x NaN would be NaN
    low, high = _extremes(normals)
    x, y, z = np.moveaxis(high - low < NORMAL_BREAK, -1, 0)
    all_valid, _ = _extremes(valid.astype(np.uint8))
    blended = grid.linear(normals)
    length = np.sqrt(np.einsum("ijk,ijk->ij", blended, blended))
    return blended / np.maximum(length, np.float32(1e-6))[..., None], grid.of_cell(x & y & z & (all_valid > 0))


def _extremes(map_: NDArray) -> tuple[NDArray, NDArray]:
    """Smallest and largest value (H, W, ...) of the four pixels (r, c) ... (r + 1, c + 1), of fewer at the border."""
    four = np.ones((2, 2), np.uint8)
    return np.asarray(cv2.erode(map_, four, anchor=(0, 0))), np.asarray(cv2.dilate(map_, four, anchor=(0, 0)))


def _mapped(sample: Sample, change: Callable[[NDArray], NDArray]) -> Sample:
    """A sample with the same change made to all its maps."""
    maps = (sample.depth, sample.depth_valid, sample.sky, sample.normals, sample.normals_valid)
    return Sample(sample.name, change(sample.rgb), *(None if map_ is None else change(map_) for map_ in maps))
