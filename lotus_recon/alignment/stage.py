"""The alignment stage: predicted depth in, depth in the unit of the poses out.

What it reads of the maps again and again lies in working files, one per view, so that no more than a few maps are in
memory. A run continues where a killed one ended: after the held-out errors, after the fits, or after the last map.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import ControlPoints, Observations, held_out_points
from lotus_recon.alignment.fit import DepthFit, relative_error
from lotus_recon.alignment.results import AlignmentResult, HeldOutErrors, Medians, ViewAlignment
from lotus_recon.alignment.solve import Solution, solve
from lotus_recon.alignment.start import Start
from lotus_recon.alignment.views import AlignedMap, AlignedView, PixelSamples, PredictedView, edge_jump
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.config import Runtime
from lotus_recon.errors import AlignmentError, InputError
from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.progress import track
from lotus_recon.threads import consume, in_threads
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

_FAR_SAMPLES = 2000  # pixels per view that make the percentile of far_percentile
_WORK = "work"  # folder for what a killed run leaves to the next; removed when the stage is done
_DOUBTFUL = 0.2  # relative: 90th percentile of the held-out errors from which a view is warned of
_FEWEST_TO_JUDGE = 10  # held-out points of a view, by which it may be rejected


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. ``prediction_dir`` holds ``<stem>.npz`` at the size of the scene's cameras."""

    scene: Scene
    prediction_dir: Path
    runtime: Runtime


def run(inputs: Inputs, config: AlignmentConfig, out_dir: Path) -> AlignmentResult:
    """Align every predicted view; writes ``<stem>.npz`` and alignment.json.

    Continues with the files of a killed run of the same inputs and options in ``out_dir``. Raises InputError for
    predictions or options that cannot be used, AlignmentError when no view can be aligned.
    """
    predictions = SceneMaps(inputs.prediction_dir, ("depth",))
    if config.align == "none":
        return _pass_through(inputs.scene, predictions, out_dir)
    maps = WorkingMaps(out_dir / _WORK)
    observed = Observations.of(inputs.scene)
    if not AlignmentResult.is_in(out_dir):
        _solve(inputs, predictions, observed, maps, config, out_dir).save()
    result = AlignmentResult.load(out_dir)
    _warn(result.views)
    _write_maps(inputs, result, observed, maps, config)
    shutil.rmtree(maps.folder)
    return result


def _solve(
    inputs: Inputs,
    predictions: SceneMaps,
    observed: Observations,
    maps: WorkingMaps,
    config: AlignmentConfig,
    out_dir: Path,
) -> AlignmentResult:
    """Fit all views, first without the held-out points, then with all: their errors are of the first solution."""
    scene, seed = inputs.scene, inputs.runtime.seed
    views = list(_read_predictions(inputs, predictions, observed, maps, config))
    held = held_out_points(scene, config.holdout, seed)
    scores_file = maps.folder / "held_out.json"
    is_final = config.holdout_strict or not held.any()
    solution = None
    if is_final or not scores_file.is_file():
        solution = solve(views, observed, ~held, maps, config, seed)
        write_json(scores_file, _held_out_errors(solution, held, maps, config))
    scores = {name: HeldOutErrors(**row) for name, row in json.loads(scores_file.read_text()).items()}
    if solution is None or not is_final:
        solution = solve(views, observed, np.ones_like(held), maps, config, seed)
    _check_any(scene, solution)
    reports = _reports(scene, solution, scores, config)
    strength = solution.smoothing.strength if solution.smoothing else 0.0
    return AlignmentResult(out_dir, reports, Medians.of(reports), strength)


def _read_predictions(
    inputs: Inputs, predictions: SceneMaps, observed: Observations, maps: WorkingMaps, config: AlignmentConfig
) -> Iterator[PredictedView]:
    """What is kept of each prediction. Raises InputError when there is none at all or one has the wrong size."""
    views, found = inputs.scene.views, 0
    with_file = [view for view in views if predictions.has(view)]
    stored = track(predictions.stream(with_file), "read predictions", len(with_file))
    for view, prediction in zip(with_file, stored, strict=True):
        if prediction.depth is not None and prediction.depth.valid.any():
            found += 1
            maps.add_prediction(view, prediction.depth)
            index, samples = inputs.scene.index[view.name], config.advanced.overlap_samples
            yield PredictedView.of(index, view, prediction.depth, observed, samples)
    if not found:
        raise InputError(f"no depth predictions in {predictions.folder} for the {len(views)} registered photos")
    if found < len(views):
        log.info("%d of %d photos have no depth prediction", len(views) - found, len(views))


def _pass_through(scene: Scene, predictions: SceneMaps, out_dir: Path) -> AlignmentResult:
    """Metric maps in a metric scene stay as they are."""
    if not scene.metric:
        raise InputError(
            "--align none keeps metric depth, but the poses are not known to be in metres: add --pose-unit m"
        )
    aligned, reports = SceneMaps(out_dir), []
    for view in scene.views:
        depth = predictions.load(view).depth if predictions.has(view) else None
        if depth is None:
            reports.append(ViewAlignment(view.name, "no_prediction", reason="no depth prediction"))
            continue
        if depth.kind is not DepthKind.METRIC:
            raise InputError(f"--align none needs METRIC depth; that of {view.name} is {depth.kind.value}")
        if not aligned.has(view):
            aligned.save(view, depth)
        reports.append(ViewAlignment(view.name, "passed_through", 1.0, 0.0))
    if not any(report.usable for report in reports):
        raise InputError(f"no depth predictions in {predictions.folder} for the {len(scene.views)} registered photos")
    result = AlignmentResult(out_dir, tuple(reports), Medians.of(reports), 0.0)
    result.save()
    return result


def _check_any(scene: Scene, solution: Solution) -> None:
    if solution.fitted:
        return
    reasons = Counter(start.outcome.reason.split(":")[0] for start in solution.starts.values())
    listed = ", ".join(f"{reason} ({count} views)" for reason, count in reasons.most_common())
    raise AlignmentError(
        f"none of {len(solution.starts)} predicted views could be aligned to {len(scene.points.xyz)} sparse points: "
        f"{listed}. More or sharper photos give more points; metric depth with metric poses needs none "
        "(--align none --pose-unit m)"
    )


def _reports(
    scene: Scene, solution: Solution, scores: Mapping[str, HeldOutErrors], config: AlignmentConfig
) -> tuple[ViewAlignment, ...]:
    reports = []
    for index, view in enumerate(scene.views):
        start = solution.starts.get(index)
        if start is None:
            reports.append(ViewAlignment(view.name, "no_prediction", reason="no depth prediction"))
        elif index not in solution.fitted:
            points = len(start.aligned.points)
            reports.append(ViewAlignment(view.name, "rejected", points=points, reason=start.outcome.reason))
        else:
            score = dataclasses.asdict(scores[view.name]) if view.name in scores else {}
            report = dataclasses.replace(_aligned_report(solution.fitted[index], start, config), **score)
            reports.append(_judged(report, config))
    return tuple(reports)


def _judged(report: ViewAlignment, config: AlignmentConfig) -> ViewAlignment:
    """The report, of a view that is rejected when too few held-out points agree with its corrected map."""
    wanted, points = config.advanced.min_inlier_ratio, report.held_out
    if points < _FEWEST_TO_JUDGE or report.held_out_inliers >= wanted * points:
        return report
    reason = (
        f"{report.held_out_inliers} of {points} held-out points are within {config.inlier_threshold:.0%} of the "
        f"corrected map, not {wanted:.0%} of them (alignment.advanced.min_inlier_ratio)"
    )
    return dataclasses.replace(report, status="rejected", reason=reason)


def _aligned_report(view: AlignedView, start: Start, config: AlignmentConfig) -> ViewAlignment:
    inliers = int((relative_error(view.fit, view.points) < config.inlier_threshold).sum())
    status = "overlap" if start.source == "overlap" else "scale_only" if start.outcome.scale_only else "points"
    return ViewAlignment(view.view.name, status, view.fit.scale, view.fit.shift, len(view.points), inliers)


def _held_out_errors(
    solution: Solution, held: BoolArray, maps: WorkingMaps, config: AlignmentConfig
) -> dict[str, HeldOutErrors]:
    """By name of the view the errors at the held-out points (P,), of the solution that did not use them."""
    errors = {}
    for view in solution.fitted.values():
        points = view.predicted.points.where(held[view.predicted.points.point])
        if len(points):
            before, after = (_errors(map_, points) for map_ in (maps.fitted_map(view), maps.map(view)))
            (median_before, p90_before), (median_after, p90_after) = (
                np.percentile(error, [50, 90]).tolist() for error in (before, after)
            )
            inliers = int((after < config.inlier_threshold).sum())
            errors[view.view.name] = HeldOutErrors(
                len(points), inliers, median_before, p90_before, median_after, p90_after, _own_p90(after, points)
            )
    return errors


def _errors(map_: AlignedMap, points: ControlPoints) -> NDArray[np.float64]:
    """(N,) relative errors; a point where the map has no positive depth counts as 1."""
    error = np.abs(np.exp(map_.log_depth_at(points.xy)) / points.depth - 1)
    return np.nan_to_num(error, nan=1.0)


def _own_p90(error: NDArray[np.float64], points: ControlPoints) -> float:
    """90th percentile of the map's own error: variances add up, so that of a point is taken from what was measured."""
    of_point = P90_SIGMAS * points.sigma
    return float(np.percentile(np.sqrt(np.maximum(error**2 - of_point**2, 0)), 90))


def _warn(views: Sequence[ViewAlignment]) -> None:
    for view in views:
        if view.status == "rejected":
            log.warning("the depth of %s could not be aligned: %s", view.name, view.reason)
    usable = [view for view in views if view.usable]
    doubtful = [view.name for view in usable if view.p90_after is not None and view.p90_after > _DOUBTFUL]
    if doubtful:
        log.warning(
            "90th-percentile held-out depth error above %.0f %% in %s: the predicted geometry is unreliable there; "
            "try another --model, or more photos that overlap these",
            100 * _DOUBTFUL,
            ", ".join(doubtful[:5]) + (f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else ""),
        )


def _write_maps(
    inputs: Inputs, result: AlignmentResult, observed: Observations, maps: WorkingMaps, config: AlignmentConfig
) -> None:
    """Write the map of each aligned view that has none yet, invalid beyond the plausible depth of the scene."""
    scene, target = inputs.scene, SceneMaps(result.folder)
    aligned = [(scene.views[scene.index[report.name]], report) for report in result.views if report.usable]
    missing = [(view, report) for view, report in aligned if not target.has(view)]
    held = held_out_points(scene, config.holdout, inputs.runtime.seed)
    usable = ~held if config.holdout_strict else np.ones_like(held)
    nearest, farthest = observed.depth_range(usable, config.advanced.max_depth_factor)
    if missing and config.far_percentile is not None:
        farthest = min(farthest, _far_percentile(aligned, maps, config.far_percentile))

    def write(aligned: tuple[View, ViewAlignment]) -> None:
        view, report = aligned
        depth, valid = _map(view, report, maps).depth()
        valid &= (depth > nearest) & (depth <= farthest)
        if not valid.any():
            log.warning("%s: all aligned depth lies beyond the plausible depth of the scene", view.name)
        target.save(view, DepthMap(np.where(valid, depth, 0).astype(np.float32), valid, DepthKind.SCENE))

    consume(track(in_threads(write, missing), "align", len(missing)))


def _map(view: View, report: ViewAlignment, maps: WorkingMaps) -> AlignedMap:
    """The map of an aligned view, as its report and its corrections say."""
    assert report.scale is not None  # of every usable view
    assert report.shift is not None
    prediction = maps.prediction(view)
    fit = DepthFit(prediction.kind, report.scale, report.shift)
    return AlignedMap(prediction, fit, edge_jump(prediction), maps.layers(view))


def _far_percentile(aligned: Sequence[tuple[View, ViewAlignment]], maps: WorkingMaps, percentile: float) -> float:
    """Percentile of the depth of all aligned maps together."""
    logs = []
    for view, report in aligned:
        map_ = _map(view, report, maps)
        logs.append(map_.log_depth_of(PixelSamples.of(map_.prediction, _FAR_SAMPLES)))
    return float(np.exp(np.nanpercentile(np.concatenate(logs), percentile)))
