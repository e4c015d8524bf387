"""Depth that photos decide as further sparse points: pixels of one view, seen by all that have the same depth there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.adaptation.targets import matched_depth
from lotus_recon.geometry.camera import pixel_index, project
from lotus_recon.geometry.consistency import SampledDepth, grid_samples
from lotus_recon.geometry.pose import transform
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import Scene, SparsePoints, View

_PER_VIEW = 400  # pixels
_SAME = 0.01  # relative difference of depth up to which two views see one point
_ERROR_PX = 0.5  # of a matched pixel


@dataclass(frozen=True, eq=False)
class _Sample:
    """N pixels of a view with matched depth."""

    view: int
    xy: NDArray[np.float64]  # (N, 2)
    in_world: NDArray[np.float64]  # (N, 3)


def with_matched_points(scene: Scene, matched: SceneMaps) -> Scene:
    """The scene with further points: of every view, some matched pixels that other views agree with."""
    samples = list(_samples(scene, matched))
    if not samples:
        return scene
    of_view = np.concatenate([np.full(len(each.xy), each.view) for each in samples])
    world = np.concatenate([each.in_world for each in samples])
    own = np.concatenate([each.xy for each in samples])
    point, view, xy = [np.arange(len(world))], [of_view], [own]
    for index, other in enumerate(scene.views):
        if matched.has(other):
            seen, at = _seen(world, other, matched_depth(matched.load(other)))
            keep = of_view[seen] != index
            point, view, xy = [*point, seen[keep]], [*view, np.full(keep.sum(), index)], [*xy, at[keep]]
    found = SparsePoints(
        world,
        np.zeros(world.shape, np.uint8),
        np.full(len(world), _ERROR_PX),
        np.concatenate(point),
        np.concatenate(view),
        np.concatenate(xy),
    )
    return replace(scene, points=_joined(scene.points, found.where(found.track_length > 1)))


def _samples(scene: Scene, matched: SceneMaps) -> Iterator[_Sample]:
    for index, view in enumerate(scene.views):
        if matched.has(view):
            depth = matched_depth(matched.load(view))
            row, col = grid_samples(depth > 0, max(1, int(_PER_VIEW * depth.size / max((depth > 0).sum(), 1))))
            sampled = SampledDepth(np.stack([col + 0.5, row + 0.5], axis=1), depth[row, col].astype(np.float64))
            yield _Sample(index, sampled.xy, sampled.in_world(view))


def _seen(
    world: NDArray[np.float64], view: View, depth: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which points (N, 3) the map (H, W) of a view has at their depth, and their pixels."""
    in_cam = transform(view.cam_from_world, world)
    xy = project(in_cam, view.camera)
    inside = np.flatnonzero(((xy >= 0) & (xy < view.camera.size)).all(axis=1))  # NaN behind the camera
    own = depth[pixel_index(xy[inside], *depth.shape)]
    same = inside[np.abs(in_cam[inside, 2] - own) < _SAME * own]
    return same, xy[same]


def _joined(first: SparsePoints, second: SparsePoints) -> SparsePoints:
    """The points of both."""
    return SparsePoints(
        np.concatenate([first.xyz, second.xyz]),
        np.concatenate([first.rgb, second.rgb]),
        np.concatenate([first.error_px, second.error_px]),
        np.concatenate([first.obs_point, second.obs_point + len(first.xyz)]),
        np.concatenate([first.obs_view, second.obs_view]),
        np.concatenate([first.obs_xy, second.obs_xy]),
    )
