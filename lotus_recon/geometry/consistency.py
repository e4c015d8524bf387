"""Do depth maps of several views say the same? Which views overlap, and what one view says of the pixels of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.types import BoolArray, FloatArray, View

SAME_SURFACE = 0.1  # log ratio of depths beyond which two maps certainly see different surfaces
# Views of one surface from directions further apart than this share little that can be compared.
_MAX_PARALLAX_DEG = 75.0
_MAX_SPREAD = 0.02  # log depth of the pixels around a position, beyond which an edge lies among them
_NOTHING = 1e3  # log depth of invalid pixels
_COARSE_SAMPLES = 200  # pixels per view that decide which views overlap
_MIN_SHARE = 0.05  # of a view that a neighbour must see
_OUTSIDE = -2.0  # normalised position of pixels that are behind the other camera


@dataclass(frozen=True, eq=False)
class SampledDepth:
    """Some pixels of one view and their depth: N of them."""

    xy: NDArray[np.float64]  # (N, 2) pixels
    depth: NDArray[np.float64]  # (N,) z-depth

    def in_world(self, view: View) -> NDArray[np.float64]:
        """(N, 3) the points that the pixels show."""
        camera = view.camera
        x = (self.xy[:, 0] - camera.cx) / camera.fx
        y = (self.xy[:, 1] - camera.cy) / camera.fy
        in_cam = np.stack([x, y, np.ones_like(x)], axis=1) * self.depth[:, None]
        return transform(invert_rigid(view.cam_from_world), in_cam)


def grid_samples(valid: BoolArray, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows (N,) and columns (N,) of at most about ``count`` pixels of a regular grid that are ``valid`` (H, W)."""
    H, W = valid.shape
    step = max(1.0, float(np.sqrt(H * W / count)))
    rows = np.floor(np.arange(step / 2, H, step)).astype(np.int64)
    cols = np.floor(np.arange(step / 2, W, step)).astype(np.int64)
    row, col = (a.ravel() for a in np.meshgrid(rows, cols, indexing="ij"))
    keep = valid[row, col]
    return row[keep], col[keep]


def coarse_samples(depth: FloatArray, valid: BoolArray, count: int = _COARSE_SAMPLES) -> SampledDepth:
    """About ``count`` valid pixels of a map (H, W), enough to tell which views overlap."""
    row, col = grid_samples(valid, count)
    return SampledDepth(np.stack([col + 0.5, row + 0.5], axis=1), depth[row, col].astype(np.float64))


def overlap_shares(
    views: Sequence[View], samples: Sequence[SampledDepth], min_parallax_deg: float = 0.0
) -> NDArray[np.float64]:
    """(V, V) share of the samples of view i that lie in the picture of view j, seen from a similar direction.

    Weighted by the cosine of the angle between the two viewing rays, and less below ``min_parallax_deg``, where a
    second view tells nothing new. Zero on the diagonal. Says where to look, not who is right: occlusion is not
    considered. A thousand views take seconds: most pairs are decided by a sphere around the samples.
    """
    shares = np.zeros((len(views), len(views)))
    cameras = _Cameras.of(views)
    for i, (view, sample) in enumerate(zip(views, samples, strict=True)):
        if len(sample.depth):
            shares[i] = cameras.shares_seen(sample.in_world(view), view.center_in_world, min_parallax_deg)
            shares[i, i] = 0
    return shares


@dataclass(frozen=True, eq=False)
class _Cameras:
    """The cameras of V views, stacked."""

    rotation: NDArray[np.float64]  # (V, 3, 3) cam from world
    translation: NDArray[np.float64]  # (V, 3)
    center: NDArray[np.float64]  # (V, 3) in the world
    focal: NDArray[np.float64]  # (V, 2) pixels
    principal: NDArray[np.float64]  # (V, 2) pixels
    size: NDArray[np.float64]  # (V, 2) pixels

    @classmethod
    def of(cls, views: Sequence[View]) -> _Cameras:
        cameras = [view.camera for view in views]
        poses = np.reshape([view.cam_from_world for view in views], (-1, 4, 4))
        return cls(
            rotation=poses[:, :3, :3],
            translation=poses[:, :3, 3],
            center=np.reshape([view.center_in_world for view in views], (-1, 3)),
            focal=np.reshape([(camera.fx, camera.fy) for camera in cameras], (-1, 2)),
            principal=np.reshape([(camera.cx, camera.cy) for camera in cameras], (-1, 2)),
            size=np.reshape([camera.size for camera in cameras], (-1, 2)).astype(np.float64),
        )

    def shares_seen(
        self, world: NDArray[np.float64], center: NDArray[np.float64], min_parallax_deg: float
    ) -> NDArray[np.float64]:
        """(V,) weighted share of the points (N, 3), seen from ``center`` (3,), that lie in each picture."""
        some = np.flatnonzero(self._near_sphere(world))
        in_cam = (self.rotation[some].reshape(-1, 3) @ world.T).reshape(len(some), 3, -1)
        in_cam += self.translation[some, :, None]
        z = np.where(in_cam[:, 2:] > 0, in_cam[:, 2:], np.nan)
        with np.errstate(invalid="ignore"):
            xy = self.focal[some, :, None] * in_cam[:, :2] / z + self.principal[some, :, None]  # (C, 2, N)
            inside = ((xy >= 0) & (xy < self.size[some, :, None])).all(1)
        which, point = np.nonzero(inside)
        weight = _direction_weight(world[point], center, self.center[some[which]], min_parallax_deg)
        return np.bincount(some[which], weight, len(self.center)) / len(world)

    def _near_sphere(self, world: NDArray[np.float64]) -> BoolArray:
        """(V,) whether the smallest sphere about the mean of the points (N, 3) touches the viewing pyramid."""
        middle = world.mean(0)
        radius = np.linalg.norm(world - middle, axis=1).max()
        in_cam = self.rotation @ middle + self.translation
        touches = in_cam[:, 2] > -radius
        for axis in (0, 1):
            focal = self.focal[:, axis]
            for border, sign in ((self.principal[:, axis], 1), (self.size[:, axis] - self.principal[:, axis], -1)):
                plane = sign * focal * in_cam[:, axis] + border * in_cam[:, 2]
                touches &= plane >= -radius * np.hypot(focal, border) * (1 + 1e-9)
        return touches


def _direction_weight(
    world: NDArray[np.float64], center: NDArray[np.float64], others: NDArray[np.float64], min_parallax_deg: float
) -> NDArray[np.float64]:
    """(N,) how much of a point (N, 3) seen from ``center`` (3,) a camera at ``others`` (N, 3) can confirm."""
    cosine = (_unit(world - others) * _unit(world - center)).sum(1)
    parallax_deg = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    weight = np.where(parallax_deg < _MAX_PARALLAX_DEG, cosine, 0.0)
    return weight * np.minimum(parallax_deg / min_parallax_deg, 1) if min_parallax_deg > 0 else weight


def _unit(vectors: FloatArray) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


def most_covisible(shares: FloatArray, count: int, min_share: float) -> list[NDArray[np.int64]]:
    """Per view the (at most ``count``) views that see most of it, best first, none below ``min_share``.

    ``shares`` (V, V): of each view (row) the share that another (column) sees.
    """
    neighbours = []
    for row in shares:
        order = np.argsort(-row, kind="stable")[:count]
        neighbours.append(order[row[order] >= min_share].astype(np.int64))
    return neighbours


@dataclass(frozen=True, eq=False)
class DepthTensors:
    """One view's depth map on a device: depth (H, W) float32, 1 where invalid; valid (H, W) bool; its camera.

    confidence (H, W) float32, above 0 where valid: how sure the map is, beside other maps.
    """

    view: View
    depth: Tensor
    valid: Tensor
    confidence: Tensor

    @classmethod
    def of(
        cls,
        view: View,
        depth: FloatArray,
        valid: BoolArray,
        device: torch.device,
        confidence: FloatArray | None = None,
    ) -> DepthTensors:
        """Tensors of a z-depth map (H, W); without a confidence (H, W) all pixels are as sure as each other."""
        clean = np.where(valid, depth, 1.0).astype(np.float32)
        sure = np.ones_like(clean) if confidence is None else np.asarray(confidence, np.float32)
        tensors = (torch.from_numpy(array).to(device) for array in (clean, np.asarray(valid), sure))
        return cls(view, *tensors)

    @property
    def known_depth(self) -> NDArray[np.float32]:
        """(H, W) the depth, 0 where it is not valid."""
        return torch.where(self.valid, self.depth, 0).cpu().numpy()

    def to(self, device: torch.device) -> DepthTensors:
        """The same map on another device."""
        return DepthTensors(self.view, self.depth.to(device), self.valid.to(device), self.confidence.to(device))

    def every(self, step: int) -> tuple[Tensor, Tensor]:
        """Row and column numbers (N,) of the valid pixels on a grid with the given step."""
        row, col = torch.nonzero(self.valid[step // 2 :: step, step // 2 :: step], as_tuple=True)
        return row * step + step // 2, col * step + step // 2


def covisible(
    views: Sequence[View], samples: Sequence[SampledDepth], count: int, min_parallax_deg: float = 0.0
) -> list[NDArray[np.int64]]:
    """Per view the indices (N,) of the views that see most of its samples, at most ``count``, best first."""
    return most_covisible(overlap_shares(views, samples, min_parallax_deg), count, _MIN_SHARE)


def depth_log_ratio(
    this: DepthTensors, row: Tensor, col: Tensor, other: DepthTensors, max_spread: float = _MAX_SPREAD
) -> Tensor:
    """(N,) log(depth of a pixel of ``this`` reprojected into ``other`` / depth that ``other`` has there).

    Zero: both see the same surface. Negative: ``other`` looks through it. Positive: it is hidden from ``other``. NaN
    where ``other`` sees nothing. Depth is looked up bilinearly, but at the nearest pixel where that would differ by
    more than ``max_spread`` (relative), which means an edge.
    """
    x, y, depth = _reprojected(this, row, col, other.view)
    return torch.log(depth) - _look_up_log(other, x, y, max_spread)


def disagreement(pairs: Iterable[tuple[DepthTensors, DepthTensors]], pixels: int) -> float | None:
    """Median |log ratio| of the depths of pairs of maps where they see the same surface; None where none do.

    About so many ``pixels`` of the first map of each pair are compared, where the maps lie: one number is copied.
    """
    ratios, last = [], None
    for this, other in pairs:
        if this is not last:  # a device waits for the host to count them
            row, col = this.every(max(1, int((this.depth.numel() / pixels) ** 0.5)))
            last = this
        ratio = depth_log_ratio(this, row, col, other).abs()
        ratios.append(torch.where(ratio < SAME_SURFACE, ratio, torch.nan))
    median = float(torch.cat(ratios).nanmedian()) if ratios and sum(map(len, ratios)) else np.nan
    return None if np.isnan(median) else median


def _reprojected(this: DepthTensors, row: Tensor, col: Tensor, other: View) -> tuple[Tensor, Tensor, Tensor]:
    """(N,) x, y and z-depth of pixels of ``this`` in another view; NaN behind it."""
    camera, to = this.view.camera, this.view.cam_from_world
    other_from_this = torch.as_tensor(other.cam_from_world @ invert_rigid(to), dtype=torch.float32).to(row.device)
    z = this.depth[row, col]
    ray = torch.stack([(col + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy, torch.ones_like(z)])
    points = other_from_this[:3, :3] @ (ray * z) + other_from_this[:3, 3:]
    depth = torch.where(points[2] > 0, points[2], torch.nan)
    return (
        other.camera.fx * points[0] / depth + other.camera.cx,
        other.camera.fy * points[1] / depth + other.camera.cy,
        depth,
    )


def _look_up_log(other: DepthTensors, x: Tensor, y: Tensor, max_spread: float) -> Tensor:
    """(N,) log depth at positions, NaN outside and where the nearest pixel is invalid."""
    H, W = other.depth.shape
    # Invalid pixels get a log depth far from all others, so that a mixture with one of them shows by its value.
    log_depth = torch.where(other.valid, torch.log(other.depth), _NOTHING)[None, None]
    # Normalised positions of grid_sample without align_corners: the picture, not the pixel centres, spans [-1, 1].
    grid = torch.stack([2 * x / W - 1, 2 * y / H - 1], dim=-1).nan_to_num(nan=_OUTSIDE)[None, None]
    nearest = grid_sample(log_depth, grid, "nearest", "border", align_corners=False)[0, 0, 0]
    mixed = grid_sample(log_depth, grid, "bilinear", "border", align_corners=False)[0, 0, 0]
    known = (nearest < _NOTHING) & (grid.abs() < 1).all(dim=-1)[0, 0]
    value = torch.where((mixed - nearest).abs() < max_spread, mixed, nearest)
    return torch.where(known, value, torch.nan)


def _nearest(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N,) values (H, W) at the nearest pixels; positions outside get that of the border."""
    col = x.nan_to_num(nan=0).long().clamp(0, values.shape[1] - 1)
    row = y.nan_to_num(nan=0).long().clamp(0, values.shape[0] - 1)
    return values[row, col]


@dataclass(frozen=True, eq=False)
class Votes:
    """What other views say of N pixels: counts, and how well the confirming ones agree."""

    confirmed: Tensor  # (N,) other views with the same depth
    # (N,) other views that see through the pixel, or a surface close in front of it. One that is less sure counts less.
    contradicted: Tensor
    agreement: Tensor  # (N,) sum over the others of exp(-(log ratio / tolerance)^2 / 2), where they have a say


def count_votes(
    this: DepthTensors, row: Tensor, col: Tensor, others: Sequence[DepthTensors], tolerance: float, hidden_beyond: float
) -> Votes:
    """Votes of other views on the N pixels ``row`` (N,), ``col`` (N,) of this one.

    A log ratio within ``tolerance`` confirms; below, the other view sees through the pixel; above ``hidden_beyond`` the
    pixel is taken for hidden, which says nothing of it, and between the two it lies just behind a surface of the other.
    """
    confirmed, contradicted, agreement = (torch.zeros(len(row), device=row.device) for _ in range(3))
    own = this.confidence[row, col]
    for other in others:
        x, y, depth = _reprojected(this, row, col, other.view)
        ratio = torch.log(depth) - _look_up_log(other, x, y, _MAX_SPREAD)
        same = ratio.abs() <= tolerance
        against = (ratio < -tolerance) | ((ratio > tolerance) & (ratio < hidden_beyond))
        confirmed += same
        contradicted += against * (_nearest(other.confidence, x, y) / own).clamp(max=1)
        agreement += torch.where(same, torch.exp(-0.5 * (ratio / tolerance) ** 2), 0.0)
    return Votes(confirmed, contradicted, agreement)
