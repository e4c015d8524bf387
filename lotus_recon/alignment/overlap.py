"""Pixels of one view carried into others, to compare what several maps say of one surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.aligned import AlignedView
from lotus_recon.alignment.local import LocalField, Matched
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.types import Camera, FloatArray

_CELLS = 4  # per side of a picture; within one, errors of a map are taken as correlated as they are measured to be


@dataclass(frozen=True, eq=False)
class Carried:
    """Pixels of several views whose depth is compared in view ``target``: N of them."""

    target: int
    source: NDArray[np.int64]  # (N,) view
    xy: NDArray[np.float64]  # (N, 2) pixels in the source
    value: NDArray[np.float64]  # (N,) predicted in the source
    ray: NDArray[np.float64]  # (N, 3) viewing ray of the source (z = 1) in the axes of the target
    offset: NDArray[np.float64]  # (N, 3) centre of the source camera in the target camera

    def per_source(self, evaluate: Callable[[int, NDArray], NDArray]) -> NDArray:
        """Rows of ``evaluate(view, rows)`` for every source view, put together."""
        order = np.argsort(self.source, kind="stable")
        sources, first = np.unique(self.source[order], return_index=True)
        groups = np.split(order, first[1:])
        result = np.concatenate([evaluate(int(i), rows) for i, rows in zip(sources, groups, strict=True)])
        restored = np.empty_like(result)
        restored[order] = result
        return restored

    def project(self, log_depth: FloatArray, camera: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the pixels fall in the target (N, 2), (-1, -1) if behind it, and the log of their depth there (N,)."""
        in_target = self.ray * np.exp(log_depth)[:, None] + self.offset
        xy = project(in_target, camera)
        front = np.asarray(np.isfinite(xy).all(axis=1))
        depth = np.where(front, in_target[:, 2], 1.0)
        return np.where(front[:, None], xy, -1.0), np.where(front, np.log(depth), np.nan)

    def cells(self, views: Sequence[AlignedView]) -> NDArray[np.int64]:
        """(N,) a number for the part of the source's picture that each pixel lies in."""
        sizes = np.array([v.view.camera.size for v in views])[self.source]
        return picture_cell(self.source, self.xy, sizes)


def picture_cell(view: NDArray[np.int64], xy: FloatArray, size: FloatArray) -> NDArray[np.int64]:
    """(N,) a number for view and part of the picture of pixels (N, 2)."""
    col, row = np.clip((xy / size * _CELLS).astype(np.int64), 0, _CELLS - 1).T
    return (view * _CELLS + row) * _CELLS + col


def carried_pixels(
    views: Sequence[AlignedView], neighbours: Sequence[NDArray[np.int64]], samples: int
) -> list[Carried]:
    """About ``samples`` pixels of every view, collected by the view in which they are compared."""
    parts: list[list[Carried]] = [[] for _ in views]
    for i, source in enumerate(views):
        row, col = grid_samples(source.prediction.valid, samples)
        if not len(row):
            continue
        xy = np.stack([col + 0.5, row + 0.5], axis=1)
        camera = source.view.camera
        rays = np.stack([(xy[:, 0] - camera.cx) / camera.fx, (xy[:, 1] - camera.cy) / camera.fy, np.ones(len(xy))], 1)
        value = source.prediction.values[row, col].astype(np.float64)
        for j in neighbours[i]:
            j_from_i = views[j].view.cam_from_world @ invert_rigid(source.view.cam_from_world)
            offset = np.tile(j_from_i[:3, 3], (len(xy), 1))
            parts[j].append(Carried(int(j), np.full(len(xy), i), xy, value, rays @ j_from_i[:3, :3].T, offset))
    return [_joined(part) for part in parts if part]


def _joined(parts: Sequence[Carried]) -> Carried:
    names = ("source", "xy", "value", "ray", "offset")
    return Carried(parts[0].target, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def aligned_log_depth(carried: Carried, views: Sequence[AlignedView]) -> NDArray[np.float64]:
    """(N,) log depth of carried pixels in their source, as it is aligned now."""
    return carried.per_source(lambda i, rows: views[i].log_depth_at(carried.xy[rows]))


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Where and by how much carried pixels differ from the map of the target view: N of them."""

    xy: NDArray[np.float64]  # (N, 2) pixels in the target
    log_ratio: NDArray[np.float64]  # (N,) log(carried depth / depth of the target); NaN where it has none


def disagreement(carried: Carried, views: Sequence[AlignedView]) -> Disagreement:
    """Carried pixels against the target's map, both as they are aligned now."""
    target = views[carried.target]
    xy, carried_log = carried.project(aligned_log_depth(carried, views), target.view.camera)
    return Disagreement(xy, carried_log - target.log_depth_at(xy))


def matched(
    carried: Sequence[Carried], views: Sequence[AlignedView], fields: Sequence[LocalField], gate: float
) -> list[Matched]:
    """Carried pixels that agree within ``gate``, with the points near them in both views."""
    result = []
    for c in carried:
        found = disagreement(c, views)
        for i in np.unique(c.source):
            rows = np.flatnonzero((c.source == i) & (np.abs(found.log_ratio) < gate))
            source, target = fields[i].near(c.xy[rows]), fields[c.target].near(found.xy[rows])
            result.append(Matched(found.log_ratio[rows], source, target))
    return result
