"""The alignment stage: predicted depth in, depth in the unit of the poses out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.aligned import AlignedView
from lotus_recon.alignment.anchors import Anchors, SceneAnchors, held_out_points
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.fit import relative_error
from lotus_recon.alignment.results import AlignmentResult, Medians, ViewAlignment
from lotus_recon.alignment.solve import Solution, solve
from lotus_recon.alignment.start import Start, depth_range
from lotus_recon.config import Runtime
from lotus_recon.errors import AlignmentError, InputError
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.geometry.points import P90_SIGMAS
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Prediction, Scene

log = logging.getLogger(__name__)

_FAR_SAMPLES = 2000  # pixels per view that make the percentile of far_percentile
_DOUBTFUL = 0.2  # relative error of a tenth of the points held out from which a view is warned of


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. ``prediction_dir`` holds ``<stem>.npz`` at the size of the scene's cameras."""

    scene: Scene
    prediction_dir: Path
    runtime: Runtime


def run(inputs: Inputs, config: AlignmentConfig, out_dir: Path) -> AlignmentResult:
    """Align every predicted view; writes ``<stem>.npz`` and alignment.json.

    Raises InputError for predictions or options that cannot be used, AlignmentError when no view can be aligned.
    """
    predictions = _load_predictions(inputs)
    if config.align == "none":
        return _pass_through(inputs.scene, predictions, out_dir)
    observed = SceneAnchors.of(inputs.scene)
    held = held_out_points(inputs.scene, config.holdout, inputs.runtime.seed)
    scored = solve(inputs.scene, predictions, observed, ~held, config, inputs.runtime.seed)
    final, usable = scored, ~held
    if held.any() and not config.holdout_strict:
        usable = np.ones_like(held)
        final = solve(inputs.scene, predictions, observed, usable, config, inputs.runtime.seed)
    _check_any(inputs.scene, final)
    views = _reports(inputs.scene, final, scored, observed, held, config)
    _warn(views)
    _write_maps(final, depth_range(observed, usable, config.advanced.max_depth_factor), config, out_dir)
    strength = final.smoothing.strength if final.smoothing else 0.0
    result = AlignmentResult(out_dir, views, Medians.of(views), strength)
    result.save()
    return result


def _load_predictions(inputs: Inputs) -> dict[int, DepthMap]:
    """Depth by view index. Raises InputError when there is none at all or one has the wrong size."""
    predictions, missing = {}, []
    for index, view in enumerate(track(inputs.scene.views, "read predictions", len(inputs.scene.views))):
        path = inputs.prediction_dir / f"{view.stem}.npz"
        depth = load_prediction(path).depth if path.is_file() else None
        if depth is None:
            missing.append(view.name)
            continue
        height, width = depth.shape
        if (width, height) != view.camera.size:
            size = "{}x{}".format(*view.camera.size)
            raise InputError(f"{path} has depth of {width}x{height} pixels, the photo {view.name} {size}: must agree")
        predictions[index] = depth
    if not predictions:
        raise InputError(f"no depth predictions in {inputs.prediction_dir} for the {len(missing)} registered photos")
    if missing:
        log.info("%d of %d photos have no depth prediction", len(missing), len(inputs.scene.views))
    return predictions


def _pass_through(scene: Scene, predictions: Mapping[int, DepthMap], out_dir: Path) -> AlignmentResult:
    """Metric maps in a metric scene stay as they are."""
    if not scene.metric:
        raise InputError(
            "--align none keeps metric depth, but the poses are not known to be in metres: add --pose-unit m"
        )
    views = []
    for index, view in enumerate(scene.views):
        if index not in predictions:
            views.append(ViewAlignment(view.name, "no_prediction", reason="no depth prediction"))
            continue
        depth = predictions[index]
        if depth.kind is not DepthKind.METRIC:
            raise InputError(f"--align none needs METRIC depth; that of {view.name} is {depth.kind.value}")
        save_prediction(out_dir / f"{view.stem}.npz", Prediction(depth, None))
        views.append(ViewAlignment(view.name, "passed_through", 1.0, 0.0))
    result = AlignmentResult(out_dir, tuple(views), Medians.of(views), 0.0)
    result.save()
    return result


def _check_any(scene: Scene, solution: Solution) -> None:
    if solution.corrected:
        return
    reasons = Counter(start.outcome.reason.split(":")[0] for start in solution.starts.values())
    said = ", ".join(f"{reason} ({count} views)" for reason, count in reasons.most_common())
    raise AlignmentError(
        f"none of {len(solution.starts)} predicted views could be aligned to {len(scene.points.xyz)} sparse points: "
        f"{said}. More or sharper photos give more points; metric depth with metric poses needs none "
        "(--align none --pose-unit m)"
    )


def _reports(
    scene: Scene, final: Solution, scored: Solution, observed: SceneAnchors, held: BoolArray, config: AlignmentConfig
) -> tuple[ViewAlignment, ...]:
    reports = []
    for index, view in enumerate(scene.views):
        start = final.starts.get(index)
        if start is None:
            reports.append(ViewAlignment(view.name, "no_prediction", reason="no depth prediction"))
        elif index not in final.corrected:
            points = len(start.view.anchors)
            reports.append(ViewAlignment(view.name, "rejected", points=points, reason=start.outcome.reason))
        else:
            report = _aligned_report(final.fitted[index], start, config)
            reports.append(_with_scores(report, index, scored, observed, held))
    return tuple(reports)


def _aligned_report(view: AlignedView, start: Start, config: AlignmentConfig) -> ViewAlignment:
    inliers = int((relative_error(view.fit, view.anchors) < config.inlier_threshold).sum())
    status = "overlap" if start.source == "overlap" else "scale_only" if start.outcome.scale_only else "points"
    return ViewAlignment(view.view.name, status, view.fit.scale, view.fit.shift, len(view.anchors), inliers)


def _with_scores(
    report: ViewAlignment, index: int, scored: Solution, observed: SceneAnchors, held: BoolArray
) -> ViewAlignment:
    """The report with the errors at held-out points, of the solution that did not use them."""
    if index not in scored.corrected:
        return report
    before, after = scored.fitted[index], scored.corrected[index]
    anchors = observed.in_view(index, before.prediction, before.jump)
    anchors = anchors.where(held[anchors.point])
    if not len(anchors):
        return report
    error_before, error_after = (_errors(view, anchors) for view in (before, after))
    median_before, p90_before = np.percentile(error_before, [50, 90]).tolist()
    median_after, p90_after = np.percentile(error_after, [50, 90]).tolist()
    return replace(
        report,
        held_out=len(anchors),
        median_before=median_before,
        p90_before=p90_before,
        median_after=median_after,
        p90_after=p90_after,
        own_p90_after=_own_p90(error_after, anchors),
    )


def _errors(view: AlignedView, anchors: Anchors) -> NDArray[np.float64]:
    """(N,) relative errors; a point where the map has no positive depth counts as 1."""
    error = np.abs(np.exp(view.log_depth_at(anchors.xy)) / anchors.depth - 1)
    return np.nan_to_num(error, nan=1.0)


def _own_p90(error: NDArray[np.float64], anchors: Anchors) -> float:
    """90th percentile of the map's own error: variances add up, so that of a point is taken from what was measured."""
    of_point = P90_SIGMAS * anchors.sigma
    return float(np.percentile(np.sqrt(np.maximum(error**2 - of_point**2, 0)), 90))


def _warn(views: Sequence[ViewAlignment]) -> None:
    for view in views:
        if view.status == "rejected":
            log.warning("%s is left out, it could not be aligned: %s", view.name, view.reason)
    doubtful = [view.name for view in views if view.p90_after is not None and view.p90_after > _DOUBTFUL]
    if doubtful:
        log.warning(
            "a tenth of the sparse points that were left aside is off by more than %.0f %% in %s: the predicted depth "
            "has another shape than the scene there",
            100 * _DOUBTFUL,
            ", ".join(doubtful[:5]) + (f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else ""),
        )


def _write_maps(solution: Solution, believed: tuple[float, float], config: AlignmentConfig, out_dir: Path) -> None:
    """One map per aligned view, invalid where depth lies outside of what is believed of the scene."""
    nearest, farthest = believed
    if config.far_percentile is not None:
        farthest = min(farthest, _far_percentile(solution, config.far_percentile))
    for view in track(solution.corrected.values(), "align", len(solution.corrected)):
        depth, valid = view.depth()
        valid &= (depth > nearest) & (depth <= farthest)
        if not valid.any():
            log.warning("%s: all aligned depth lies beyond what is kept of the scene", view.view.name)
        aligned = DepthMap(np.where(valid, depth, 0).astype(np.float32), valid, DepthKind.SCENE)
        save_prediction(out_dir / f"{view.view.stem}.npz", Prediction(aligned, None))


def _far_percentile(solution: Solution, percentile: float) -> float:
    """Percentile of the depth of all aligned maps together."""
    logs = []
    for view in solution.corrected.values():
        row, col = grid_samples(view.prediction.valid, _FAR_SAMPLES)
        logs.append(view.log_depth_at(np.stack([col + 0.5, row + 0.5], axis=1)))
    return float(np.exp(np.nanpercentile(np.concatenate(logs), percentile)))
