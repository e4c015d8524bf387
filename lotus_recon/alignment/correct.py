"""The local corrections of all views: first from the sparse points, then towards what overlapping maps agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.aligned import AlignedView, Layer
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.fit import robust_sigma
from lotus_recon.alignment.local import LocalField, Residuals, Smoothing, choose_smoothing, drop_outliers
from lotus_recon.alignment.overlap import Carried, Disagreement, carried_pixels, disagreement, matched
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.types import BoolArray, Scene

_OUTLIER_SIGMAS = 4.0  # of the residuals of a view, beyond which a point does not correct it
_LENT_WEIGHT = 0.3  # of a point that a view sees but in which it was not matched, against one that was
_OVERLAP_WEIGHT = 0.1  # of the agreement of maps in a cell, against a point
_OVERLAP_NEIGHBOURS = 12
_OVERLAP_SMOOTHING = Smoothing(near=0.02, far=1.0, strength=1.0)
_OVERLAP_CELLS = 32  # per longer side of a picture
_SAMPLES_FACTOR = 4  # more pixels are compared here than for scale and shift
_GATE_SIGMAS = 3.0  # of the disagreement between maps, beyond which they do not see the same surface


def correct_locally(
    views: Sequence[AlignedView],
    neighbours: Sequence[NDArray[np.int64]],
    scene: Scene,
    usable: BoolArray,
    config: AlignmentConfig,
) -> tuple[list[AlignedView], Smoothing]:
    """The views with their corrections, and how the residuals of the points were spread.

    ``usable`` (P,) marks the sparse points that may be used. Points correct only as far as it makes points predict each
    other and does not tear apart maps that agree (see ``choose_smoothing``).
    """
    fields = [point_field(view, config) for view in views]
    carried = carried_pixels(views, neighbours, config.advanced.overlap_samples)
    smoothing = choose_smoothing(fields, matched(carried, views, fields, config.advanced.overlap_gate))
    if smoothing.strength == 0:
        # The maps are better than the points: nothing would hold them while they drift towards each other.
        return list(views), smoothing
    fields = [drop_outliers(field, smoothing) for field in fields]
    current = [replace(v, layers=(Layer(f, smoothing),)) for v, f in zip(views, fields, strict=True)]
    gate = _agreement_gate(carried, current, config)
    fields = [drop_outliers(lend_points(view, scene, usable, gate), smoothing) for view in current]
    current = [replace(v, layers=(Layer(f, smoothing),)) for v, f in zip(views, fields, strict=True)]
    if config.advanced.joint:
        dense = carried_pixels(views, neighbours, _SAMPLES_FACTOR * config.advanced.overlap_samples)
        for _ in range(config.advanced.overlap_rounds):
            current = _towards_agreement(current, dense, gate, smoothing.strength)
    return current, smoothing


def point_field(view: AlignedView, config: AlignmentConfig) -> LocalField:
    """What the global fit left at the sparse points, without those that are clearly wrong."""
    anchors = view.anchors
    with np.errstate(invalid="ignore"):
        log_ratio = np.log(anchors.depth) - np.log(view.fit.depth(anchors.value))
    finite = np.isfinite(log_ratio)
    limit = max(config.inlier_threshold, _OUTLIER_SIGMAS * robust_sigma(log_ratio[finite]))
    keep = finite & (np.abs(np.where(finite, log_ratio, 0)) < limit)
    sigma = anchors.sigma[keep]
    weight = 1 / (1 + (sigma / np.median(sigma)) ** 2) if len(sigma) else sigma
    residuals = Residuals(anchors.xy[keep], log_ratio[keep], weight)
    return LocalField(residuals, view.barriers(), config.advanced.local_neighbours)


def lend_points(view: AlignedView, scene: Scene, usable: BoolArray, gate: float) -> LocalField:
    """The view's field with further points: seen by other views, and at the depth of this one's map within ``gate``."""
    field = view.layers[0].field
    candidates = usable.copy()
    candidates[view.anchors.point] = False
    in_cam = transform(view.view.cam_from_world, scene.points.xyz[candidates])
    xy = project(in_cam, view.view.camera)
    front = np.isfinite(xy).all(axis=1)
    xy, depth = xy[front], in_cam[front, 2]
    with np.errstate(invalid="ignore"):
        keep = np.abs(np.log(depth) - view.log_depth_at(xy)) < gate
    log_ratio = np.log(depth[keep]) - replace(view, layers=()).log_depth_at(xy[keep])
    r = field.residuals
    extended = Residuals(
        np.concatenate([r.xy, xy[keep]]),
        np.concatenate([r.log_ratio, log_ratio]),
        np.concatenate([r.weight, np.full(int(keep.sum()), _LENT_WEIGHT)]),
    )
    return LocalField(extended, field.barriers, field.neighbours)


def _agreement_gate(carried: Sequence[Carried], views: Sequence[AlignedView], config: AlignmentConfig) -> float:
    """Log ratio of depth up to which two maps see one surface: a few spreads of their disagreement, within bounds."""
    found = [disagreement(c, views).log_ratio for c in carried]
    ratios = np.concatenate(found) if found else np.zeros(0)
    ratios = ratios[np.abs(ratios) < config.advanced.overlap_gate]
    if not len(ratios):
        return config.inlier_threshold
    return float(np.clip(_GATE_SIGMAS * robust_sigma(ratios), 1e-3, config.inlier_threshold))


def _towards_agreement(
    views: Sequence[AlignedView], carried: Sequence[Carried], gate: float, point_weight: float
) -> list[AlignedView]:
    """One round: every view moves half-way to what the others say, smoothly, held in place by its points."""
    moved = list(views)
    for c in carried:
        view = views[c.target]
        found = disagreement(c, views)
        field = view.layers[1].field if len(view.layers) > 1 else _agreement_field(view, found, gate, point_weight)
        step = _left_at(view, field, found, gate)
        # Corrections by one set of points add up, so that all rounds together cost one look-up per pixel.
        residuals = replace(field.residuals, log_ratio=field.residuals.log_ratio + step)
        layer = Layer(LocalField(residuals, field.barriers, field.neighbours), _OVERLAP_SMOOTHING)
        moved[c.target] = replace(view, layers=(view.layers[0], layer))
    return moved


def _agreement_field(view: AlignedView, found: Disagreement, gate: float, point_weight: float) -> LocalField:
    """A field without corrections yet: the view's points, then one pixel per cell of the picture that others see."""
    points = view.layers[0].field.residuals
    keep = np.flatnonzero(np.abs(found.log_ratio) < gate)
    cell = _cell_of(found.xy[keep], view)
    _, first = np.unique(cell, return_index=True)
    xy = np.concatenate([points.xy, found.xy[keep[first]]])
    weight = np.concatenate([point_weight * points.weight, np.full(len(first), _OVERLAP_WEIGHT)])
    return LocalField(Residuals(xy, np.zeros(len(xy)), weight), view.layers[0].field.barriers, _OVERLAP_NEIGHBOURS)


def _left_at(view: AlignedView, field: LocalField, found: Disagreement, gate: float) -> NDArray[np.float64]:
    """What the points of the agreement field still ask for: sparse points in full, cells half their median."""
    points = view.layers[0].field.residuals
    count = len(points.xy)
    done = view.log_depth_at(points.xy) - replace(view, layers=()).log_depth_at(points.xy)
    left = np.zeros(len(field.residuals.xy))
    left[:count] = np.nan_to_num(points.log_ratio - done)
    keep = np.abs(found.log_ratio) < gate
    cells, medians = _cell_medians(_cell_of(found.xy[keep], view), found.log_ratio[keep])
    own = _cell_of(field.residuals.xy[count:], view)
    place = np.clip(np.searchsorted(cells, own), 0, max(len(cells) - 1, 0))
    if len(cells):
        left[count:] = np.where(cells[place] == own, 0.5 * medians[place], 0.0)
    return left


def _cell_of(xy: NDArray[np.float64], view: AlignedView) -> NDArray[np.int64]:
    size = max(view.view.camera.size) / _OVERLAP_CELLS
    column, row = (xy / size).astype(np.int64).T
    return np.asarray(row * _OVERLAP_CELLS + column, np.int64)


def _cell_medians(
    cell: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cells, ascending, and the (upper) median of the values in each."""
    order = np.lexsort((values, cell))
    cells, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    return cells, values[order][first + count // 2]
