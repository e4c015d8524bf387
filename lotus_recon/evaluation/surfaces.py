"""Distances between two surfaces in both directions, from uniform samples, summarised as in the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from lotus_recon.errors import InputError
from lotus_recon.evaluation.mesh_sampling import point_to_mesh_distance, sample_mesh, triangle_areas
from lotus_recon.types import FloatArray, Mesh

Points = NDArray[np.float64]
Surface = Mesh | Points

_MAX_SAMPLES = 20_000_000
_POINTS_PER_CELL = 30
# A uniform sample of density 1 / spacing^2 has gaps; four times as many points have one in almost every cell.
_SAMPLES_PER_CELL = 4.0


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances between the samples of two surfaces, in the unit of the reference."""

    to_reference: Points  # (N,) from the prediction
    to_prediction: Points  # (M,) from the reference


def uniform_samples(surface: Surface, spacing: float, seed: int) -> Points:
    """(N, 3) points of a surface about ``spacing`` apart: a mesh is sampled by area, then subsampled.

    Raises InputError when there is nothing to sample, or the spacing would need more than 20 million samples.
    """
    if not spacing > 0:
        raise InputError(f"spacing {spacing}: must be positive")
    if not isinstance(surface, Mesh):
        return subsampled(surface, spacing)
    return subsampled(sample_mesh(surface, samples_for(surface, spacing), seed), spacing)


def samples_for(surface: Mesh, spacing: float, what: str = "a mesh") -> int:
    """Number of samples of a mesh that have no gaps after subsampling to ``spacing``.

    Raises InputError, which names the surface as ``what``, for more than 20 million.
    """
    area = float(triangle_areas(surface).sum())
    wanted = area / spacing**2 * _SAMPLES_PER_CELL
    if wanted > _MAX_SAMPLES:
        raise InputError(
            f"{what}: samples {spacing:g} apart on an area of {area:g} are {wanted:.2g} points; at most "
            f"{_MAX_SAMPLES:.0e} are allowed: choose a larger --spacing (by default half the smallest threshold)"
        )
    return max(1, round(wanted))


def subsampled(points: FloatArray, spacing: float) -> Points:
    """(N, 3) the mean of the points in each voxel of side ``spacing``: dense scans do not count more than sparse ones.

    As Tanks and Temples thins (Knapitsch et al., 2017, section 4.2); DTU drops neighbours nearer than the spacing.
    """
    points = np.asarray(points, np.float64)
    if len(points) == 0:
        raise InputError("a surface without points cannot be sampled")
    cell = np.floor((points - points.min(0)) / spacing).astype(np.int64)
    extent = cell.max(0) + 1
    if float(extent[0]) * float(extent[1]) * float(extent[2]) >= 2**62:
        raise InputError(f"spacing {spacing:g} is too small for a surface of {np.ptp(points, axis=0)}")
    key = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    return np.asarray(np.add.reduceat(points[order], starts, axis=0) / counts[:, None])


def distances(prediction: Points, reference: Points) -> Distances:
    """Distance of each point (N, 3) to the nearest of the other side (M, 3), both ways.

    Raises InputError when a side is empty or not finite.
    """
    _check_sides(prediction, reference)
    return Distances(nearest(prediction, reference), nearest(reference, prediction))


def _check_sides(prediction: Points, reference: Points) -> None:
    for what, points in (("prediction", prediction), ("reference", reference)):
        if len(points) == 0 or not np.isfinite(points).all():
            raise InputError(f"the {what} must hold finite points; it has {len(points)}")


def nearest(points: Points, others: Points) -> Points:
    """(N,) distance of each point to the nearest of ``others``."""
    # An unbalanced tree is built in half the time, and finds as fast. Points that follow each other in space walk the
    # same branches, which the cache then holds: points in random order take three times as long.
    tree = KDTree(others[_along_space(others)], leafsize=16, balanced_tree=False, compact_nodes=False)
    order = _along_space(points)
    found = np.empty(len(points))
    found[order] = tree.query(points[order], workers=-1)[0]
    return found


def _along_space(points: Points) -> NDArray[np.int64]:
    """An order in which neighbours in the list are neighbours in space: cell by cell of a coarse grid."""
    low, extent = points.min(0), np.ptp(points, axis=0)
    cells = max(1, round((len(points) / _POINTS_PER_CELL) ** (1 / 2)))  # points lie on surfaces
    cell = ((points - low) / np.maximum(extent, 1e-300) * (cells - 1)).astype(np.int64)
    return np.argsort((cell[:, 0] * cells + cell[:, 1]) * cells + cell[:, 2], kind="stable")


def mixed_distances(prediction: Points, reference: Points, to_prediction: Surface, to_reference: Surface) -> Distances:
    """Distances of the judged points (N, 3), (M, 3) of each side to the other surface: triangles of a mesh, or points.

    Distances to triangles have no sampling noise. Raises InputError as ``distances`` does.
    """
    _check_sides(prediction, reference)
    return Distances(_to(prediction, to_reference), _to(reference, to_prediction))


def _to(points: Points, target: Surface) -> Points:
    return point_to_mesh_distance(points, target) if isinstance(target, Mesh) else nearest(points, target)


def summary(distances: Distances, max_distance: float | None = None) -> dict[str, float]:
    """accuracy and completeness as mean and median, and chamfer = (mean accuracy + mean completeness) / 2.

    DTU leaves distances above ``max_distance`` out of these (Jensen et al., CVPR 2014), and so does this; what share
    remains is returned as ``accuracy_share`` and ``completeness_share``. Raises InputError when nothing remains.
    """
    scores: dict[str, float] = {}
    for name, values in (("accuracy", distances.to_reference), ("completeness", distances.to_prediction)):
        kept = values if max_distance is None else values[values < max_distance]
        if len(kept) == 0:
            raise InputError(f"{name}: all distances are above {max_distance}; are both sides in the same frame?")
        scores |= {name: float(kept.mean()), f"{name}_median": float(np.median(kept))}
        scores[f"{name}_share"] = len(kept) / len(values)
    scores["chamfer"] = (scores["accuracy"] + scores["completeness"]) / 2
    return scores


def tolerance_table(distances: Distances, thresholds: Sequence[float]) -> list[dict[str, float]]:
    """precision, recall and F-score at each threshold (Knapitsch et al., 2017, eq. 3-5; ETH3D's table of tolerances).

    Raises InputError for a threshold that is not positive.
    """
    rows = []
    for threshold in thresholds:
        if not threshold > 0:
            raise InputError(f"threshold {threshold}: must be positive")
        precision = float((distances.to_reference < threshold).mean())
        recall = float((distances.to_prediction < threshold).mean())
        both = precision + recall
        fscore = 2 * precision * recall / both if both else 0.0
        rows.append({"threshold": threshold, "precision": precision, "recall": recall, "fscore": fscore})
    return rows
