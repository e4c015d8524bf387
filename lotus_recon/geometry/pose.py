"""Rigid motions and similarities, as 4x4 matrices named ``to_from_from``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.types import FloatArray


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * R @ x + t."""

    scale: float
    R: NDArray[np.float64]  # (3, 3)
    t: NDArray[np.float64]  # (3,)

    def apply(self, points: FloatArray) -> NDArray[np.float64]:
        """Transform points (..., 3)."""
        return self.scale * np.asarray(points, np.float64) @ self.R.T + self.t

    def apply_to_pose(self, cam_from_world: FloatArray) -> NDArray[np.float64]:
        """The pose (4, 4) of the same camera in the new world, whose unit the scale sets."""
        pose = np.eye(4)
        pose[:3, :3] = cam_from_world[:3, :3] @ self.R.T
        pose[:3, 3] = self.scale * cam_from_world[:3, 3] - pose[:3, :3] @ self.t
        return pose


def invert_rigid(to_from: FloatArray) -> NDArray[np.float64]:
    """Inverse of a rigid 4x4 matrix."""
    inverse = np.eye(4)
    inverse[:3, :3] = to_from[:3, :3].T
    inverse[:3, 3] = -to_from[:3, :3].T @ to_from[:3, 3]
    return inverse


def transform(to_from: FloatArray, points: FloatArray) -> NDArray[np.float64]:
    """Points (..., 3) moved by a 4x4 matrix."""
    return np.asarray(points, np.float64) @ to_from[:3, :3].T + to_from[:3, 3]


def rotation_angle_deg(R: FloatArray) -> float:
    """Angle of a rotation matrix (3, 3) in degrees, exact for small angles too."""
    sine = np.linalg.norm([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    cosine = (np.trace(R) - 1) / 2
    return float(np.degrees(np.arctan2(sine, cosine)))


def fit_similarity(source: FloatArray, target: FloatArray, with_scale: bool = True) -> Similarity:
    """Least-squares similarity that maps points ``source`` (N, 3) to ``target`` (N, 3).

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, eq. 34-42.
    Raises InputError when there are fewer than three points or all source points coincide.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or len(source) < 3:
        raise InputError(f"a similarity needs 3 or more pairs of points, not {source.shape} and {target.shape}")
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    variance = (s**2).sum() / len(s)
    if variance == 0:
        raise InputError("all source points coincide: no similarity can be estimated")
    U, D, Vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = U @ sign @ Vt
    scale = float(np.trace(np.diag(D) @ sign) / variance) if with_scale else 1.0
    return Similarity(scale, R, mean_t - scale * R @ mean_s)
