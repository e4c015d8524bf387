"""Samples of views reprojected into others, to compare what several maps say of one surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment import look_up
from lotus_recon.alignment.views import AlignedMap, PixelSamples
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.types import FloatArray, View

_CELLS = 4  # per side of an image; within one, errors of a map are taken as correlated as they are measured to be


def sources_of(neighbours: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Per view the views (K,) that have it for a neighbour, ascending: those whose samples are compared in it."""
    sources: list[list[int]] = [[] for _ in neighbours]
    for i, targets in enumerate(neighbours):
        for j in targets:
            sources[j].append(i)
    return [np.array(some, np.int64) for some in sources]


@dataclass(frozen=True, eq=False)
class Reprojected:
    """N samples of one or more views as another view sees them."""

    xy: NDArray[np.float64]  # (N, 2) pixels in the target, (-1, -1) behind it
    log_depth: NDArray[np.float64]  # (N,) in the target, NaN behind it

    @classmethod
    def of(cls, source: View, samples: PixelSamples, log_depth: FloatArray, target: View) -> Reprojected:
        """Samples of a view, whose log depth (N,) is given, in another view."""
        target_from_source = target.cam_from_world @ invert_rigid(source.cam_from_world)
        xy, in_target = np.empty(samples.xy.shape), np.empty(len(samples.xy))
        lenses = _lens(source), _lens(target)
        look_up.reproject(samples.xy, log_depth, lenses[0], target_from_source, lenses[1], xy, in_target)
        return cls(xy, in_target)

    @classmethod
    def joined(cls, parts: Sequence[Reprojected]) -> Reprojected:
        """Those of several views, one after the other."""
        if not parts:
            return cls(np.zeros((0, 2)), np.zeros(0))
        return cls(np.concatenate([part.xy for part in parts]), np.concatenate([part.log_depth for part in parts]))


def _lens(view: View) -> look_up.Lens:
    camera = view.camera
    return look_up.Lens(float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy))


def image_cell(view: int, xy: FloatArray, size: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) a number for the view and the part of its image that pixels (N, 2) lie in."""
    col, row = np.clip((xy / np.array(size) * _CELLS).astype(np.int64), 0, _CELLS - 1).T
    return np.asarray((view * _CELLS + row) * _CELLS + col, np.int64)


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where and by how much reprojected samples differ from the map of the target: N of them."""

    xy: NDArray[np.float64]  # (N, 2) pixels in the target
    log_ratio: NDArray[np.float64]  # (N,) log(reprojected depth / depth of the target); NaN where it has none

    @classmethod
    def of(cls, samples: Reprojected, target: AlignedMap) -> Disagreement:
        """Samples against the target's map as it is aligned."""
        return cls(samples.xy, samples.log_depth - target.log_depth_at(samples.xy))
