"""Sparse points as depth constraints of a view: where it sees them, how deep, how sure, what was predicted there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.alignment.sampling import sample_without_jumps
from lotus_recon.geometry.pose import transform
from lotus_recon.types import BoolArray, DepthMap, FloatArray, Scene

# Below this a reprojection error says how few observations a point has, not how good they are.
_MIN_ERROR_PX = 0.25
# Nearer than this share of the near points (their 2nd percentile) nothing is expected.
_NEAREST = 0.1


@dataclass(frozen=True, eq=False)
class ControlPoints:
    """N points of known depth in one view."""

    point: NDArray[np.int64]  # (N,) index into Scene.points, -1 for a pixel projected from another view
    xy: NDArray[np.float64]  # (N, 2) pixels
    depth: NDArray[np.float64]  # (N,) z-depth in the view, unit of the scene
    sigma: NDArray[np.float64]  # (N,) expected error of depth, relative
    value: NDArray[np.float64]  # (N,) what the model predicts at xy, in its own space

    def __len__(self) -> int:
        return len(self.depth)

    def where(self, keep: BoolArray) -> ControlPoints:
        """The points chosen by a mask (N,)."""
        return ControlPoints(self.point[keep], self.xy[keep], self.depth[keep], self.sigma[keep], self.value[keep])


def held_out_points(scene: Scene, share: float, seed: int) -> BoolArray:
    """(P,) True for the ``share`` of points that is held out: whole tracks, the same for the same scene and seed."""
    count = len(scene.points.xyz)
    held = np.zeros(count, bool)
    held[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return held


def relative_depth_sigma(scene: Scene) -> NDArray[np.float64]:
    """(O,) expected relative depth error of each observed point in the view that observes it.

    First-order propagation of the reprojection error through the triangulation (Hartley and Zisserman, "Multiple View
    Geometry", section 5.2): the covariance of a point is the inverse of the sum of J'J / error_px^2 over its views, so
    long tracks, wide baselines and small errors all count as they should. Infinite where the views fix no depth.
    """
    points = scene.points
    J = _projection_jacobians(scene)
    weight = 1.0 / np.maximum(points.error_px, _MIN_ERROR_PX)[points.obs_point] ** 2
    information = np.zeros((len(points.xyz), 3, 3))
    for a in range(3):
        for b in range(3):
            terms = weight * (J[:, :, a] * J[:, :, b]).sum(1)
            information[:, a, b] = np.bincount(points.obs_point, terms, minlength=len(points.xyz))
    return _sigma_along_view(scene, information)


def _sigma_along_view(scene: Scene, information: FloatArray) -> NDArray[np.float64]:
    points = scene.points
    size = np.maximum(np.trace(information, axis1=1, axis2=2), 1e-300)
    # Barely determined points get a huge but finite covariance instead of a failing inversion.
    covariance = np.linalg.inv(information + (1e-9 * size)[:, None, None] * np.eye(3))
    axis = np.stack([view.cam_from_world[2, :3] for view in scene.views])[points.obs_view]
    variance = np.einsum("oa,oab,ob->o", axis, covariance[points.obs_point], axis)
    depth = observed_depth(scene)
    positive = depth > 0
    return np.where(positive, np.sqrt(np.maximum(variance, 0)) / np.where(positive, depth, 1), np.inf)


def observed_depth(scene: Scene) -> NDArray[np.float64]:
    """(O,) z-depth of each observed point in the view that observes it; negative behind the camera."""
    points = scene.points
    if not scene.views:
        return np.zeros(0)
    poses = np.stack([view.cam_from_world[2] for view in scene.views])[points.obs_view]
    return (poses[:, :3] * points.xyz[points.obs_point]).sum(1) + poses[:, 3]


def _projection_jacobians(scene: Scene) -> NDArray[np.float64]:
    """(O, 2, 3) derivative of the pixel of each observation by the world position of its point."""
    points = scene.points
    J = np.zeros((len(points.obs_point), 2, 3))
    for index, view in enumerate(scene.views):
        rows = points.rows_of(index)
        x, y, z = transform(view.cam_from_world, points.xyz[points.obs_point[rows]]).T
        z = np.where(np.abs(z) > 1e-12, z, 1e-12)
        zero, camera = np.zeros_like(z), view.camera
        horizontal = np.stack([camera.fx / z, zero, -camera.fx * x / z**2], axis=1)
        vertical = np.stack([zero, camera.fy / z, -camera.fy * y / z**2], axis=1)
        J[rows] = np.stack([horizontal, vertical], axis=1) @ view.cam_from_world[:3, :3]
    return J


@dataclass(frozen=True, eq=False)
class Observations:
    """The observations of all views, ready to be looked up per view."""

    scene: Scene
    depth: NDArray[np.float64]  # (O,) z-depth in the view that observes, unit of the scene
    sigma: NDArray[np.float64]  # (O,) expected error of depth, relative

    @classmethod
    def of(cls, scene: Scene) -> Observations:
        """Depth and expected error of every observation of a scene."""
        if not len(scene.points.obs_point):
            return cls(scene, np.zeros(0), np.zeros(0))
        return cls(scene, observed_depth(scene), relative_depth_sigma(scene))

    def in_view(self, index: int, prediction: DepthMap, jump: float) -> ControlPoints:
        """The points that view ``index`` sees where its prediction is valid."""
        points, rows = self.scene.points, self.scene.points.rows_of(index)
        rows = rows[(self.depth[rows] > 0) & np.isfinite(self.sigma[rows])]
        xy = points.obs_xy[rows]
        value = sample_without_jumps(prediction.values, prediction.valid, xy, jump)
        seen = ControlPoints(points.obs_point[rows], xy, self.depth[rows], self.sigma[rows], value)
        return seen.where(np.isfinite(value))

    def depth_range(self, usable: BoolArray, max_depth_factor: float) -> tuple[float, float]:
        """(nearest, farthest) plausible depth, from the ``usable`` (P,) sparse points as the views see them."""
        depth = self.depth[(self.depth > 0) & usable[self.scene.points.obs_point]]
        if not len(depth):
            return 0.0, np.inf
        near, far = np.percentile(depth, [2, 98])
        return float(near * _NEAREST), float(far * max_depth_factor)
