"""Scores of one map, one mesh or one set of poses against ground truth. Pure functions; all sums in float64.

The same rules for every score: pixels without ground truth (``valid`` False, a value that is not finite, or depth that
is not positive) are left out. A prediction that is NaN or infinite where ground truth exists raises InputError, because
a method must not score better by leaving pixels out; exclude such pixels from ``valid`` if they should not count. An
empty comparison raises InputError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from lotus_recon.errors import InputError
from lotus_recon.evaluation.mesh_sampling import point_to_mesh_distance as point_to_mesh_distance
from lotus_recon.evaluation.mesh_sampling import sample_mesh as sample_mesh
from lotus_recon.evaluation.mesh_sampling import triangle_areas
from lotus_recon.geometry.normals import angle_deg, normalized
from lotus_recon.geometry.pose import fit_similarity, invert_rigid, rotation_angle_deg
from lotus_recon.types import BoolArray, FloatArray, Mesh

DepthAlignment = Literal["none", "scale", "affine", "affine_disparity"]

NORMAL_LIMITS_DEG = {"pct_5": 5.0, "pct_7_5": 7.5, "pct_11_25": 11.25, "pct_22_5": 22.5, "pct_30": 30.0}

_MIN_DISPARITY = 1e-3  # of the official evaluation: an aligned disparity at or below zero has no depth
_MIN_DEPTH = 1e-6
_FLAT = 1e-11  # standard deviation relative to the mean at which values count as equal: rounding makes as much
# A uniform sample of this many points per threshold^2 has its nearest neighbour at 0.125 thresholds on average.
_SAMPLES_PER_SQUARE_THRESHOLD = 16.0
_SAMPLES_ALLOWED = (10_000, 2_000_000)
_SAMPLING_SEED = 0


def depth_metrics(
    pred: FloatArray,
    gt: FloatArray,
    valid: BoolArray,
    align: DepthAlignment = "none",
    min_depth: float | None = None,
    max_depth: float | None = None,
    alignment_resolution: int | None = None,
) -> dict[str, float]:
    """Scores of depth ``pred`` against ``gt``, both (H, W), over the pixels where ``valid`` (H, W) and ``gt`` > 0.

    ``align``: "none"; "scale" and "affine" fit ``pred`` to ``gt`` by least squares; "affine_disparity" takes ``pred``
    for disparity, fits it to 1 / ``gt`` by least squares over the pixels with ``pred`` > 0, clips at 1e-3 and inverts.
    ``min_depth`` and ``max_depth`` then clip the prediction (not the choice of pixels). ``alignment_resolution`` caps
    what the fit sees, as ``fitted_columns`` says.

    Returns abs_rel, sq_rel (unit), rmse (unit), rmse_log, log10, delta1..3 (shares in [0, 1]), i_rmse (1 / unit) and
    silog (x 100); definitions of Eigen et al., NeurIPS 2014, and of the KITTI depth benchmark. Raises InputError for
    shapes that differ, an unknown ``align``, NaN in ``pred`` and when no pixel is left.
    """
    counted = _counted(pred, gt, valid, "depth", positive=True)
    fitted = fitted_columns(counted.shape, alignment_resolution)[np.nonzero(counted)[1]]
    pred, gt = _compared(pred, gt, counted, "depth")
    depth = np.clip(_aligned(pred, gt, fitted, align), min_depth, max_depth)
    return depth_errors(np.maximum(depth, _MIN_DEPTH), gt)


def aligned_depth(
    pred: FloatArray,
    gt: FloatArray,
    valid: BoolArray,
    align: DepthAlignment,
    min_depth: float | None = None,
    max_depth: float | None = None,
    alignment_resolution: int | None = None,
) -> NDArray[np.float64]:
    """The map (H, W) that ``depth_metrics`` scores: ``pred`` after the fit and the limits, NaN where not compared."""
    counted = _counted(pred, gt, valid, "depth", positive=True)
    fitted = fitted_columns(counted.shape, alignment_resolution)[np.nonzero(counted)[1]]
    predicted, truth = _compared(pred, gt, counted, "depth")
    depth = np.full(counted.shape, np.nan)
    depth[counted] = np.maximum(np.clip(_aligned(predicted, truth, fitted, align), min_depth, max_depth), _MIN_DEPTH)
    return depth


def depth_errors(depth: NDArray[np.float64], gt: NDArray[np.float64]) -> dict[str, float]:
    """The scores of ``depth_metrics`` of positive, aligned depths (N,)."""
    difference = depth - gt
    log_difference = np.log(depth) - np.log(gt)
    ratio = np.maximum(depth / gt, gt / depth)
    scores = {
        "abs_rel": (np.abs(difference) / gt).mean(),
        "sq_rel": (difference**2 / gt).mean(),
        "rmse": _rms(difference),
        "rmse_log": _rms(log_difference),
        "log10": np.abs(log_difference).mean() / np.log(10),
        "delta1": (ratio < 1.25).mean(),
        "delta2": (ratio < 1.25**2).mean(),
        "delta3": (ratio < 1.25**3).mean(),
        "i_rmse": _rms(1 / depth - 1 / gt),
        "silog": 100 * np.std(log_difference),
    }
    return {name: float(value) for name, value in scores.items()}


def fitted_columns(shape: tuple[int, ...], resolution: int | None) -> BoolArray:
    """(W,) the columns of a map (H, W) that the least-squares fit sees under a cap of ``resolution`` pixels.

    The shared evaluation code of Marigold and Lotus hands (1, H, W) to a resampling that takes the last axis for the
    only one of space. So a larger map keeps every row, and columns are taken by the nearest-neighbour rule: this
    is what the published ETH3D figures (cap 1024) are made with.
    """
    height, width = shape
    if resolution is not None and resolution < 1:
        raise InputError(f"alignment resolution {resolution}: must be 1 pixel or more")
    factor = 1.0 if resolution is None else min(resolution / height, resolution / width)
    if factor >= 1:
        return np.ones(width, bool)
    kept = np.zeros(width, bool)
    step = np.float32(1 / factor)
    kept[np.minimum(np.floor(np.arange(int(width * factor), dtype=np.float32) * step).astype(int), width - 1)] = True
    return kept


def _counted(pred: FloatArray, gt: FloatArray, valid: BoolArray, what: str, positive: bool = False) -> BoolArray:
    """(H, W) the pixels that count."""
    pred, gt, valid = np.asarray(pred), np.asarray(gt), np.asarray(valid, bool)
    if pred.shape != gt.shape or valid.shape != gt.shape[: valid.ndim] or valid.ndim != 2:
        raise InputError(f"{what}: pred {pred.shape}, gt {gt.shape} and valid {valid.shape} must have the same size")
    finite = np.isfinite(gt) if gt.ndim == 2 else np.isfinite(gt).all(-1)
    counted: BoolArray = valid & finite & (gt > 0) if positive else valid & finite
    if not counted.any():
        raise InputError(f"{what}: no valid pixel with ground truth to compare")
    return counted


def _compared(
    pred: FloatArray, gt: FloatArray, counted: BoolArray, what: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of both maps at the pixels that count, (N,) or (N, 3)."""
    predicted = np.asarray(pred)[counted].astype(np.float64)
    if not np.isfinite(predicted).all():
        raise InputError(f"{what}: pred is NaN or infinite at pixels that have ground truth; take them out of 'valid'")
    return predicted, np.asarray(gt)[counted].astype(np.float64)


def _aligned(
    pred: NDArray[np.float64], gt: NDArray[np.float64], fitted: BoolArray, align: DepthAlignment
) -> NDArray[np.float64]:
    """``pred`` (N,) aligned to ``gt`` (N,) by a fit to the pixels ``fitted`` (N,)."""
    if align == "none":
        return pred
    if not fitted.any():
        raise InputError("depth: no valid pixel is left under the alignment resolution")
    if align == "scale":
        x, y = pred[fitted], gt[fitted]
        power = x @ x
        return pred * (x @ y / power if power > 0 else 0.0)
    if align == "affine":
        return _affine(pred, pred[fitted], gt[fitted])
    if align == "affine_disparity":
        usable = fitted & (pred > 0)
        if not usable.any():
            raise InputError("depth: no predicted disparity is positive, so none can be fitted to 1 / gt")
        disparity = _affine(pred, pred[usable], 1 / gt[usable])
        return np.asarray(1 / np.maximum(disparity, _MIN_DISPARITY))
    raise InputError(f"align is {align!r}; allowed: none, scale, affine, affine_disparity")


def _affine(values: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values`` under the scale and shift that map ``x`` (N,) to ``y`` (N,) best in the sense of least squares.

    Values that are all equal do not determine the scale: they become the mean of ``y``.
    """
    mean_x, mean_y = x.mean(), y.mean()
    centered = x - mean_x
    variance = centered @ centered / len(x)
    flat = variance <= (_FLAT * max(abs(mean_x), np.finfo(float).tiny)) ** 2
    scale = 0.0 if flat else centered @ (y - mean_y) / (variance * len(x))
    return np.asarray(scale * (values - mean_x) + mean_y)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))


def normal_metrics(pred: FloatArray, gt: FloatArray, valid: BoolArray) -> dict[str, float]:
    """Scores of normals ``pred`` against ``gt``, both (H, W, 3), over the pixels where ``valid`` (H, W).

    Both are scaled to unit length first; ground truth of length zero counts as missing, a prediction of length zero
    raises InputError. Returns mean, median and rmse in degrees, and pct_5, pct_7_5, pct_11_25, pct_22_5, pct_30: the
    share of pixels in percent with a smaller angle (Fouhey et al., ICCV 2013).
    """
    angle = normal_errors_deg(pred, gt, valid)
    scores = {"mean": angle.mean(), "median": np.median(angle), "rmse": _rms(angle)}
    for name, limit in NORMAL_LIMITS_DEG.items():
        scores[name] = 100 * (angle < limit).mean()
    return {name: float(value) for name, value in scores.items()}


def normal_errors_deg(pred: FloatArray, gt: FloatArray, valid: BoolArray) -> NDArray[np.float64]:
    """(N,) angles in degrees at the pixels that ``normal_metrics`` compares, row by row. Raises as it does."""
    gt = np.asarray(gt, np.float64)
    if gt.ndim != 3 or gt.shape[-1] != 3:
        raise InputError(f"normals: gt has shape {gt.shape}; allowed: (H, W, 3)")
    nonzero = np.linalg.norm(np.nan_to_num(gt), axis=-1) > 0
    if nonzero.shape != np.shape(valid):
        raise InputError(f"normals: valid has shape {np.shape(valid)}, gt {gt.shape}: must have the same size")
    counted = _counted(pred, gt, nonzero & np.asarray(valid, bool), "normals")
    predicted, truth = _compared(pred, gt, counted, "normals")
    if (np.linalg.norm(predicted, axis=-1) == 0).any():
        raise InputError("normals: pred has length zero at pixels that have ground truth; take them out of 'valid'")
    return angle_deg(normalized(predicted), normalized(truth))


def mesh_metrics(
    pred_points_or_mesh: Mesh | FloatArray, gt_points_or_mesh: Mesh | FloatArray, threshold: float
) -> dict[str, float]:
    """Distances between two surfaces; ``threshold`` and the distances have the unit of the points.

    Arrays (N, 3) are used as they are. A Mesh is sampled uniformly by area, 16 points per threshold^2 (at least 10,000,
    at most 2,000,000; fixed seed); distances TO a Mesh are exact, to its triangles: no sampling noise in them.

    Returns accuracy (mean distance from pred to gt), completeness (mean distance from gt to pred), precision and
    recall (shares in [0, 1] of these distances below ``threshold``) and fscore (their harmonic mean); Knapitsch et al.,
    "Tanks and Temples", 2017. Raises InputError for an empty or not finite side and a threshold that is not positive.
    """
    if not threshold > 0:
        raise InputError(f"threshold {threshold}: must be positive")
    pred, gt = _surface(pred_points_or_mesh, "pred"), _surface(gt_points_or_mesh, "gt")
    to_gt = _distances(_samples(pred, threshold), gt)
    to_pred = _distances(_samples(gt, threshold), pred)
    precision, recall = float((to_gt < threshold).mean()), float((to_pred < threshold).mean())
    both = precision + recall
    return {
        "accuracy": float(to_gt.mean()),
        "completeness": float(to_pred.mean()),
        "precision": precision,
        "recall": recall,
        "fscore": 2 * precision * recall / both if both else 0.0,
    }


def _surface(surface: Mesh | FloatArray, what: str) -> Mesh | NDArray[np.float64]:
    points = surface.vertices if isinstance(surface, Mesh) else np.asarray(surface, np.float64)
    empty = len(surface.triangles) == 0 if isinstance(surface, Mesh) else len(points) == 0
    if empty or points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(
            f"mesh metrics: {what} of shape {points.shape} must hold finite points (N, 3), N > 0, or triangles"
        )
    return surface if isinstance(surface, Mesh) else points.astype(np.float64)


def _samples(surface: Mesh | NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    if not isinstance(surface, Mesh):
        return surface
    count = triangle_areas(surface).sum() / threshold**2 * _SAMPLES_PER_SQUARE_THRESHOLD
    return sample_mesh(surface, int(np.clip(count, *_SAMPLES_ALLOWED)), _SAMPLING_SEED)


def _distances(points: NDArray[np.float64], surface: Mesh | NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(surface, Mesh):
        return point_to_mesh_distance(points, surface)
    return np.asarray(KDTree(surface).query(points)[0])


def pose_metrics(pred: Mapping[str, FloatArray], gt: Mapping[str, FloatArray]) -> dict[str, float]:
    """Errors of ``pred`` poses against ``gt``, each a cam_from_world (4, 4) by view name, over the views in both.

    Camera centres are compared after the least-squares similarity of ``pred`` to ``gt`` (Umeyama), rotations after the
    mean rotation between both worlds; the latter is taken from the rotations, because centres on a line leave it open.

    Returns position_rms and position_max in units of ``gt``, rotation_median_deg, scale (gt units per pred unit) and
    registered (share of the ``gt`` views that ``pred`` has). Raises InputError when they share fewer than 3 views.
    """
    names = sorted(pred.keys() & gt.keys())
    if len(names) < 3:
        raise InputError(f"pose metrics need 3 or more views in both; {len(names)} of {len(gt)} are")
    pred_centers, gt_centers = (np.stack([invert_rigid(p[n])[:3, 3] for n in names]) for p in (pred, gt))
    similarity = fit_similarity(pred_centers, gt_centers)
    error = np.linalg.norm(similarity.apply(pred_centers) - gt_centers, axis=1)
    return {
        "position_rms": _rms(error),
        "position_max": float(error.max()),
        "rotation_median_deg": _median_rotation_deg([pred[n][:3, :3] for n in names], [gt[n][:3, :3] for n in names]),
        "scale": similarity.scale,
        "registered": len(names) / len(gt),
    }


def _median_rotation_deg(pred: list[Any], gt: list[Any]) -> float:
    """Median angle left between rotations after the chordal mean (Hartley et al., "Rotation averaging", 2013, 5.3)."""
    between_worlds = [g.T @ p for p, g in zip(pred, gt, strict=True)]
    U, _, Vt = np.linalg.svd(np.mean(between_worlds, axis=0))
    gt_from_pred = U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt
    return float(np.median([rotation_angle_deg(gt_from_pred.T @ difference) for difference in between_worlds]))
