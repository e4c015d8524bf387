"""The local corrections of all views: first from the sparse points, then towards what overlapping maps agree on.

The corrections lie in the working maps. Each pass takes one view after the other: it writes down the depth of all
samples first, so that a view is compared with what the others were before the pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.fit import robust_sigma
from lotus_recon.alignment.local import (
    NONE,
    CrossValidation,
    DepthDiscontinuities,
    LocalField,
    Matched,
    Residuals,
    Smoothing,
    drop_outliers,
)
from lotus_recon.alignment.overlap import Disagreement, Reprojected, sources_of
from lotus_recon.alignment.views import AlignedMap, AlignedView, Layer, PixelSamples
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.progress import track
from lotus_recon.threads import consume, in_threads
from lotus_recon.types import BoolArray, Scene

# On the sample scene with maps of nano, half or double of any of these changes the median held-out error by 4 % at
# most, except for half of _OUTLIER_SIGMAS, which drops good points (12 %).
_OUTLIER_SIGMAS = 4.0  # of the residuals of a view, beyond which a point does not correct it
_PROJECTED_WEIGHT = 0.3  # of a point that a view sees but in which it was not matched, against one that was
_CONSENSUS_WEIGHT = 0.1  # of the consensus of the maps in a cell, against a point
_CONSENSUS_NEIGHBOURS = 12
_CONSENSUS_SMOOTHING = Smoothing(near=0.02, far=1.0, strength=1.0)
_CONSENSUS_CELLS = 32  # per longer side of an image
_GATE_SIGMAS = 3.0  # of the disagreement between maps, beyond which they do not see the same surface


def correct_locally(
    views: Sequence[AlignedView],
    neighbours: Sequence[NDArray[np.int64]],
    scene: Scene,
    usable: BoolArray,
    maps: WorkingMaps,
    config: AlignmentConfig,
) -> Smoothing:
    """Write the corrections of the views; how the residuals of the points are spread.

    ``usable`` (P,) marks the sparse points that may be used. Points correct only as far as it makes points predict each
    other and does not make maps disagree that agreed (see ``CrossValidation.best_strength``).
    """
    overlaps = _Overlaps(views, sources_of(neighbours), maps)
    residuals = list(in_threads(lambda view: _prepared(view, maps, config), views))
    smoothing = _choose_smoothing(overlaps, residuals, config)
    if smoothing.strength == 0:
        # The maps are better than the points: nothing would hold them while they drift towards each other.
        return smoothing

    def correct_by_own(index: int) -> None:
        view = views[index].view
        field = LocalField(residuals[index], maps.discontinuities(view), config.advanced.local_neighbours)
        maps.save_layers(view, [Layer(drop_outliers(field, smoothing), smoothing)])

    def correct_by_all(view: AlignedView) -> None:
        field = drop_outliers(with_projected_points(view, maps.map(view), scene, usable, gate), smoothing)
        maps.save_layers(view.view, [Layer(field, smoothing)])

    consume(in_threads(correct_by_own, range(len(views))))
    gate = _agreement_gate(overlaps, config)
    consume(track(in_threads(correct_by_all, views), "correct depth by sparse points", len(views)))
    if config.advanced.joint:
        _reach_consensus(overlaps, gate, smoothing.strength, config.advanced.overlap_rounds)
    return smoothing


def _prepared(view: AlignedView, maps: WorkingMaps, config: AlignmentConfig) -> Residuals:
    """Write the discontinuities of a view without corrections; what its fit left at the sparse points."""
    depth, valid = maps.fitted_map(view).fitted_depth()
    maps.save_discontinuities(view.view, DepthDiscontinuities.of(depth, valid, view.view.camera))
    maps.save_layers(view.view, [])
    return point_residuals(view, config)


def point_residuals(view: AlignedView, config: AlignmentConfig) -> Residuals:
    """What the global fit left at the sparse points, without those that are clearly wrong."""
    points = view.points
    log_ratio = np.log(points.depth) - view.fit.log_depth(points.value)
    finite = np.isfinite(log_ratio)
    limit = max(config.inlier_threshold, _OUTLIER_SIGMAS * robust_sigma(log_ratio[finite]))
    keep = finite & (np.abs(np.where(finite, log_ratio, 0)) < limit)
    sigma = points.sigma[keep]
    weight = 1 / (1 + (sigma / np.median(sigma)) ** 2) if len(sigma) else sigma
    return Residuals(points.xy[keep], log_ratio[keep], weight)


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """The views, which of them are compared in which, and their maps."""

    views: Sequence[AlignedView]
    sources: Sequence[NDArray[np.int64]]  # per view
    maps: WorkingMaps

    def compared(
        self, index: int, samples: Sequence[PixelSamples], log_depth: Sequence[NDArray[np.float64]]
    ) -> Reprojected:
        """The samples of the sources of a view, whose log depth (N,) is given, in that view."""
        target = self.views[index].view
        return Reprojected.joined(
            [Reprojected.of(self.views[i].view, samples[i], log_depth[i], target) for i in self.sources[index]]
        )

    def log_depth(self, samples: Sequence[PixelSamples]) -> list[NDArray[np.float64]]:
        """Per view the aligned log depth (N,) of its samples."""
        return list(in_threads(lambda i: self.maps.map(self.views[i]).log_depth_of(samples[i]), range(len(samples))))

    @property
    def targets(self) -> list[int]:
        """The views in which others are compared."""
        return [index for index, some in enumerate(self.sources) if len(some)]


def _choose_smoothing(overlaps: _Overlaps, residuals: Sequence[Residuals], config: AlignmentConfig) -> Smoothing:
    """How residuals spread, by cross-validation of the points and the agreement of the maps."""
    views, maps = overlaps.views, overlaps.maps

    def field(index: int) -> LocalField:
        discontinuities = maps.discontinuities(views[index].view)
        return LocalField(residuals[index], discontinuities, config.advanced.local_neighbours)

    validation = CrossValidation(map(field, range(len(views))))
    shape = validation.best_shape()
    if shape is None:
        return NONE
    samples = [view.predicted.sparse for view in views]
    log_depth = [view.fit.log_depth(some.value) for view, some in zip(views, samples, strict=True)]
    corrections = list(in_threads(lambda i: field(i).correction(samples[i].xy, shape), range(len(views))))

    def match(index: int) -> Matched:
        found = Disagreement.of(overlaps.compared(index, samples, log_depth), maps.fitted_map(views[index]))
        keep = np.abs(found.log_ratio) < config.advanced.overlap_gate
        source = np.concatenate([corrections[i] for i in overlaps.sources[index]])[keep]
        target = field(index).correction(found.xy[keep], shape)
        return Matched(found.log_ratio[keep], source, target)

    return validation.best_strength(shape, list(in_threads(match, overlaps.targets)))


def _agreement_gate(overlaps: _Overlaps, config: AlignmentConfig) -> float:
    """Log ratio of depth up to which two maps see one surface: a few spreads of their disagreement, within bounds."""
    samples = [view.predicted.sparse for view in overlaps.views]
    log_depth = overlaps.log_depth(samples)

    def ratios(index: int) -> NDArray[np.float64]:
        target = overlaps.maps.map(overlaps.views[index])
        ratio = Disagreement.of(overlaps.compared(index, samples, log_depth), target).log_ratio
        return ratio[np.abs(ratio) < config.advanced.overlap_gate]

    together = np.concatenate([np.zeros(0), *in_threads(ratios, overlaps.targets)])
    if not len(together):
        return config.inlier_threshold
    return float(np.clip(_GATE_SIGMAS * robust_sigma(together), 1e-3, config.inlier_threshold))


def with_projected_points(
    aligned: AlignedView, map_: AlignedMap, scene: Scene, usable: BoolArray, gate: float
) -> LocalField:
    """The view's field with points projected from other views, where they lie at the depth of its map within ``gate``.

    ``usable`` (P,) marks the sparse points that may be used.
    """
    field, view = map_.layers[0].field, aligned.view
    candidates = usable.copy()
    candidates[aligned.points.point] = False
    in_cam = transform(view.cam_from_world, scene.points.xyz[candidates])
    xy = project(in_cam, view.camera)
    front = np.isfinite(xy).all(axis=1)
    xy, depth = xy[front], in_cam[front, 2]
    with np.errstate(invalid="ignore"):
        keep = np.abs(np.log(depth) - map_.log_depth_at(xy)) < gate
    log_ratio = np.log(depth[keep]) - map_.fitted_log_depth_at(xy[keep])
    r = field.residuals
    extended = Residuals(
        np.concatenate([r.xy, xy[keep]]),
        np.concatenate([r.log_ratio, log_ratio]),
        np.concatenate([r.weight, np.full(int(keep.sum()), _PROJECTED_WEIGHT)]),
    )
    return LocalField(extended, field.discontinuities, field.neighbours)


def _reach_consensus(overlaps: _Overlaps, gate: float, point_weight: float, rounds: int) -> None:
    """In every round each view moves half-way to what the others say, smoothly, held in place by its points."""
    samples = [view.predicted.dense for view in overlaps.views]
    log_depth = overlaps.log_depth(samples)

    def move(index: int) -> NDArray[np.float64]:
        """The log depth of the samples of a view after it moved."""
        view = overlaps.views[index]
        map_ = overlaps.maps.map(view)
        found = Disagreement.of(overlaps.compared(index, samples, log_depth), map_)
        layer = _consensus_layer(map_, found, gate, point_weight)
        moved = replace(map_, layers=(map_.layers[0], layer))
        overlaps.maps.save_layers(view.view, moved.layers)
        return moved.log_depth_of(samples[index])

    for _ in track(range(rounds), "consensus of aligned depth", rounds):
        after = list(in_threads(move, overlaps.targets))  # all compared with what the others were before the round
        for index, moved in zip(overlaps.targets, after, strict=True):
            log_depth[index] = moved


def _consensus_layer(map_: AlignedMap, found: Disagreement, gate: float, point_weight: float) -> Layer:
    """The correction of the consensus after one more round."""
    has_one = len(map_.layers) > 1
    field = map_.layers[1].field if has_one else _consensus_field(map_, found, gate, point_weight)
    step = _left_at(map_, field, found, gate)
    # Corrections by one set of points add up, so that all rounds together cost one look-up per pixel.
    residuals = replace(field.residuals, log_ratio=field.residuals.log_ratio + step)
    return Layer(LocalField(residuals, field.discontinuities, field.neighbours), _CONSENSUS_SMOOTHING)


def _consensus_field(map_: AlignedMap, found: Disagreement, gate: float, point_weight: float) -> LocalField:
    """A field without corrections yet: the view's points, then one pixel per cell of the image that others see."""
    points = map_.layers[0].field
    keep = np.flatnonzero(np.abs(found.log_ratio) < gate)
    cell = _cell_of(found.xy[keep], map_.prediction.shape)
    _, first = np.unique(cell, return_index=True)
    xy = np.concatenate([points.residuals.xy, found.xy[keep[first]]])
    weight = np.concatenate([point_weight * points.residuals.weight, np.full(len(first), _CONSENSUS_WEIGHT)])
    return LocalField(Residuals(xy, np.zeros(len(xy)), weight), points.discontinuities, _CONSENSUS_NEIGHBOURS)


def _left_at(map_: AlignedMap, field: LocalField, found: Disagreement, gate: float) -> NDArray[np.float64]:
    """What the points of the consensus field still ask for: sparse points in full, cells half their median."""
    points = map_.layers[0].field.residuals
    count = len(points.xy)
    done = map_.log_depth_at(points.xy) - map_.fitted_log_depth_at(points.xy)
    left = np.zeros(len(field.residuals.xy))
    left[:count] = np.nan_to_num(points.log_ratio - done)
    keep = np.abs(found.log_ratio) < gate
    cells, medians = _cell_medians(_cell_of(found.xy[keep], map_.prediction.shape), found.log_ratio[keep])
    own = _cell_of(field.residuals.xy[count:], map_.prediction.shape)
    place = np.clip(np.searchsorted(cells, own), 0, max(len(cells) - 1, 0))
    if len(cells):
        left[count:] = np.where(cells[place] == own, 0.5 * medians[place], 0.0)
    return left


def _cell_of(xy: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """(N,) number of the cell of an image (H, W) that pixels (N, 2) lie in."""
    size = max(shape) / _CONSENSUS_CELLS
    column, row = (xy / size).astype(np.int64).T
    return np.asarray(row * _CONSENSUS_CELLS + column, np.int64)


def _cell_medians(
    cell: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cells, ascending, and the (upper) median of the values in each."""
    order = np.lexsort((values, cell))
    cells, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    return cells, values[order][first + count // 2]
