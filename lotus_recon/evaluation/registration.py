"""Bringing a reconstruction into the frame of its reference, and saying how that was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.evaluation.pose_files import Poses, match_names
from lotus_recon.evaluation.surfaces import Points
from lotus_recon.geometry.pose import Similarity, fit_similarity, invert_rigid, rotation_angle_deg

_MAX_ICP_POINTS = 200_000
_ICP_ITERATIONS = 100
_IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


@dataclass(frozen=True)
class Registered:
    """A similarity and what its estimation said of itself."""

    similarity: Similarity
    report: dict[str, float]


def from_cameras(pred: Poses, reference: Poses) -> Registered:
    """The similarity that takes the camera centres of ``pred`` to those of ``reference`` best (Umeyama).

    Raises InputError when fewer than three cameras match by name.
    """
    names = match_names(list(pred), list(reference))
    if len(names) < 3:
        raise InputError(f"{len(names)} cameras match by name; a similarity needs 3 or more")
    centers = np.array([(invert_rigid(pred[a])[:3, 3], invert_rigid(reference[b])[:3, 3]) for a, b in names.items()])
    fitted = fit_similarity(centers[:, 0], centers[:, 1])
    error = np.linalg.norm(fitted.apply(centers[:, 0]) - centers[:, 1], axis=1)
    report = {"cameras": len(names), "camera_rms": float(np.sqrt((error**2).mean())), "scale": fitted.scale}
    return Registered(fitted, report)


def by_icp(prediction: Points, reference: Points, max_distance: float, with_scale: bool, seed: int) -> Registered:
    """Point-to-point ICP of points (N, 3) to (M, 3) (Besl and McKay, PAMI 1992), over pairs up to ``max_distance``.

    Reports the share of matched points (fitness), their rms distance before and after, and the motion that was added.
    Raises InputError when hardly any point has a partner.
    """
    import open3d

    registration = open3d.pipelines.registration
    clouds = [_cloud(points, seed) for points in (prediction, reference)]
    before = registration.evaluate_registration(*clouds, max_distance)
    if before.fitness < 0.01:
        raise InputError(
            f"ICP: {before.fitness:.1%} of the points have a partner nearer than {max_distance:g}; align first "
            "(--align cameras) or allow a larger --icp-distance"
        )
    done = registration.registration_icp(
        *clouds,
        max_distance,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(with_scale),
        registration.ICPConvergenceCriteria(max_iteration=_ICP_ITERATIONS),
    )
    matrix = np.asarray(done.transformation, np.float64)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    found = Similarity(scale, matrix[:3, :3] / scale, matrix[:3, 3])
    report = {
        "icp_fitness": float(done.fitness),
        "icp_rms_before": float(before.inlier_rmse),
        "icp_rms_after": float(done.inlier_rmse),
        "icp_rotation_deg": rotation_angle_deg(found.R),
        "icp_moved": float(np.linalg.norm(found.apply(prediction.mean(0)) - prediction.mean(0))),
        "icp_scale": scale,
    }
    return Registered(found, report)


def _cloud(points: Points, seed: int) -> object:
    import open3d

    if len(points) > _MAX_ICP_POINTS:
        points = points[np.random.default_rng(seed).choice(len(points), _MAX_ICP_POINTS, replace=False)]
    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.ascontiguousarray(points)))


def after(second: Similarity, first: Similarity) -> Similarity:
    """The similarity that does ``first``, then ``second``."""
    return Similarity(second.scale * first.scale, second.R @ first.R, second.apply(first.t))


def matrix_of(similarity: Similarity) -> NDArray[np.float64]:
    """(4, 4) matrix of a similarity."""
    matrix = np.eye(4)
    matrix[:3, :3] = similarity.scale * similarity.R
    matrix[:3, 3] = similarity.t
    return matrix


def identity() -> Similarity:
    """The similarity that leaves everything where it is."""
    return _IDENTITY
