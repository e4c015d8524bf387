"""Which photos a view is compared with: those that see the same surface from the right distance and angle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.camera import project
from lotus_recon.geometry.consistency import SampledDepth
from lotus_recon.geometry.pose import transform
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.types import BoolArray, FloatArray, Scene, View

_FEWEST_POINTS = 30  # sparse points of a view that say enough of what it shares with others
_NARROW, _WIDE = 0.33, 0.8  # widths of the preference for an angle, below and above it, as a share of it
_MIN_SCORE = 0.02  # of what a perfect source would have


def choose_sources(
    scene: Scene, samples: Mapping[int, SampledDepth], allowed: BoolArray, config: MvsConfig
) -> dict[int, NDArray[np.int64]]:
    """Per view (index) the indices of its sources among the ``allowed`` (V,), best first.

    None where no photo has parallax and overlap.

    What is shared is known from the tracks of the sparse points; a view with few of them is judged by ``samples`` of
    its depth, of which occlusion is not known. Angles are weighted as in MVSNet (Yao et al., ECCV 2018, section 4.1).
    """
    chosen = {}
    for index, sample in samples.items():
        scores = _track_scores(scene, index, config)
        if scores is None:
            scores = _sample_scores(scene.views, index, sample, config)
        scores = np.where(allowed, scores, 0.0)
        order = np.argsort(-scores, kind="stable")[: config.advanced.sources]
        chosen[index] = order[scores[order] > _MIN_SCORE]
    return chosen


def _track_scores(scene: Scene, index: int, config: MvsConfig) -> NDArray[np.float64] | None:
    """(V,) scores by shared tracks; None where the view has too few."""
    points = scene.points
    own = np.unique(points.obs_point[points.rows_of(index)])
    if len(own) < _FEWEST_POINTS:
        return None
    is_own = np.zeros(len(points.xyz), bool)
    is_own[own] = True
    rows = np.flatnonzero(is_own[points.obs_point])
    rows = rows[np.argsort(points.obs_view[rows], kind="stable")]
    others, first = np.unique(points.obs_view[rows], return_index=True)
    scores = np.zeros(len(scene.views))
    for j, seen in zip(others, np.split(rows, first[1:]), strict=True):
        if j != index:
            shared = points.xyz[np.unique(points.obs_point[seen])]
            scores[j] = _worth(shared, scene.views[index], scene.views[j], config).sum() / len(own)
    return scores


def _sample_scores(views: Sequence[View], index: int, sample: SampledDepth, config: MvsConfig) -> NDArray[np.float64]:
    """(V,) scores by the samples that lie in the other photos."""
    scores = np.zeros(len(views))
    world = sample.in_world(views[index])
    for j, other in enumerate(views):
        if j == index or not len(world):
            continue
        xy = project(transform(other.cam_from_world, world), other.camera)
        with np.errstate(invalid="ignore"):
            inside = ((xy >= 0) & (xy < other.camera.size)).all(1)
        scores[j] = _worth(world[inside], views[index], other, config).sum() / len(world)
    return scores


def _worth(world: FloatArray, this: View, other: View, config: MvsConfig) -> NDArray[np.float64]:
    """(N,) 0 to 1: how good the angle and the scale of ``other`` are at points in the world."""
    here, there = world - this.center_in_world, world - other.center_in_world
    cosine = (here * there).sum(1) / np.maximum(np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1), 1e-300)
    ratio = np.degrees(np.arccos(np.clip(cosine, -1, 1))) / config.advanced.best_parallax_deg
    angle = np.exp(-0.5 * ((ratio - 1) / np.where(ratio < 1, _NARROW, _WIDE)) ** 2)
    scale = _pixels_per_unit(world, other) / np.maximum(_pixels_per_unit(world, this), 1e-300)
    return angle * np.minimum(scale, 1 / np.maximum(scale, 1e-300))


def _pixels_per_unit(world: FloatArray, view: View) -> NDArray[np.float64]:
    depth = transform(view.cam_from_world, world)[:, 2]
    return view.camera.fx / np.maximum(depth, 1e-300)
