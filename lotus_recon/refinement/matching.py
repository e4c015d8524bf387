"""How well do other photos agree with a depth? Normalised cross-correlation of windows that follow the prior surface.

H x W pixels of the refined view, N sources, L hypotheses. A hypothesis is an offset of log depth: depth x exp(offset).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor
from torch.nn import functional

from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.types import Camera, View

# Grey values (0 to 1) of noise that every window is taken to have: one with less contrast correlates with nothing.
_NOISE = 0.008
_BEHIND = -2.0  # normalised position of what lies behind a source


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo at one scale: grey values (H, W) float32 in [0, 1] and its camera at that size."""

    view: View
    gray: Tensor
    camera: Camera


@dataclass(frozen=True, eq=False)
class Sources:
    """N photos that the refined view is compared with, in one tensor, and where they stand."""

    gray: Tensor  # (N, 1, H', W'), smaller ones padded below and right
    size: Tensor  # (N, 2) width and height of each
    focal: Tensor  # (N, 2)
    center: Tensor  # (N, 2)
    rotation: Tensor  # (N, 3, 3) source_from_this
    translation: Tensor  # (N, 3)

    @classmethod
    def of(cls, this: View, photos: Sequence[Photo]) -> Sources:
        """The photos as sources of the view ``this``."""
        height = max(photo.gray.shape[0] for photo in photos)
        width = max(photo.gray.shape[1] for photo in photos)
        gray = torch.stack([_padded(photo.gray, height, width) for photo in photos])[:, None]
        this_in_world = invert_rigid(this.cam_from_world)
        pose = np.stack([photo.view.cam_from_world @ this_in_world for photo in photos])
        cameras = [photo.camera for photo in photos]
        values = [
            [camera.size for camera in cameras],
            [(camera.fx, camera.fy) for camera in cameras],
            [(camera.cx, camera.cy) for camera in cameras],
            pose[:, :3, :3],
            pose[:, :3, 3],
        ]
        return cls(gray, *(torch.as_tensor(np.asarray(v), dtype=torch.float32).to(gray.device) for v in values))

    def __len__(self) -> int:
        return len(self.gray)

    def part(self, rows: slice) -> Sources:
        """Some of them."""
        return Sources(*(getattr(self, each.name)[rows] for each in fields(self)))

    def pixels(self, rays: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel (..., N, H, W, 2) in each source, and z-depth there (..., N, H, W), of points on rays (3, H, W).

        depth (..., H, W). Pixels of points behind a source are not a number.
        """
        turned = torch.einsum("nij,jhw->nihw", self.rotation, rays)
        points = turned * depth[..., None, None, :, :] + self.translation[:, :, None, None]
        z = points[..., 2, :, :]
        safe = torch.where(z > 0, z, torch.nan)
        xy = points[..., :2, :, :].movedim(-3, -1) / safe[..., None]
        return xy * self.focal[:, None, None] + self.center[:, None, None], z

    def look_up(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Grey values at pixels (L, N, H, W, 2), and whether they lie in the source: both (L, N, H, W)."""
        L, N, H, W, _ = xy.shape
        inside = ((xy > 0) & (xy < self.size[:, None, None])).all(-1)
        padded = torch.tensor([self.gray.shape[3], self.gray.shape[2]], device=xy.device)
        grid = (2 * xy / padded - 1).nan_to_num(nan=_BEHIND).reshape(L * N, H, W, 2)
        source = self.gray.expand(L, -1, -1, -1, -1).reshape(L * N, 1, *self.gray.shape[2:])
        values = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)
        return values.reshape(L, N, H, W), inside


def _padded(gray: Tensor, height: int, width: int) -> Tensor:
    return functional.pad(gray, (0, width - gray.shape[1], 0, height - gray.shape[0]))


@dataclass(frozen=True, eq=False)
class SourceDepth:
    """What is known of the depth of N sources: depth, 0 where unknown, and confidence, both (N, H', W'), padded."""

    depth: Tensor
    confidence: Tensor
    size: Tensor  # (N, 2) width and height of each map
    weight: float  # of the agreement in depth beside the correlation of the photos
    tolerance: float  # relative difference of depth that counts as no agreement at all
    hidden: float  # relative difference of depth from which a point is hidden behind the source's surface

    @classmethod
    def of(
        cls, depths: Sequence[Tensor], confidences: Sequence[Tensor], weight: float, tolerance: float, hidden: float
    ) -> SourceDepth:
        """Maps (H, W) of the sources, in their order."""
        height, width = (max(depth.shape[axis] for depth in depths) for axis in (0, 1))
        depth, confidence = (
            torch.stack([_padded(map_, height, width) for map_ in maps]) for maps in (depths, confidences)
        )
        size = torch.tensor([[one.shape[1], one.shape[0]] for one in depths], device=depth.device)
        return cls(depth, confidence, size, weight, tolerance, hidden)

    def part(self, rows: slice) -> SourceDepth:
        """That of some of the sources."""
        return replace(self, depth=self.depth[rows], confidence=self.confidence[rows], size=self.size[rows])

    def judge(self, fraction: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Disagreement, 0 to ``weight``, and which points are not hidden, (L, N, H, W).

        ``fraction`` (L, N, H, W, 2): where the points lie in the sources, as a share of their width and height; ``z``
        their depth there. The nearest pixel counts: a mixture at an edge is on no surface.
        """
        column, row = (fraction.nan_to_num(nan=0) * self.size[:, None, None]).long().unbind(-1)
        column = column.clamp(min=0).minimum(self.size[:, 0, None, None] - 1)
        row = row.clamp(min=0).minimum(self.size[:, 1, None, None] - 1)
        which = torch.arange(len(self.depth), device=z.device)[:, None, None]
        depth, confidence = self.depth[which, row, column], self.confidence[which, row, column]
        ratio = torch.where(depth > 0, z / depth.clamp_min(1e-12), 1).clamp_min(1e-6).log()
        disagreement = self.weight * torch.where(depth > 0, confidence, 0) * (ratio.abs() / self.tolerance).clamp(max=1)
        return disagreement, ratio < self.hidden


def rays(camera: Camera, device: torch.device) -> Tensor:
    """(3, H, W) directions through the pixel centres, z = 1."""
    y, x = torch.meshgrid(
        torch.arange(camera.height, device=device) + 0.5, torch.arange(camera.width, device=device) + 0.5, indexing="ij"
    )
    return torch.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, torch.ones_like(x)])


class Windows:
    """The windows of one photo: what correlation needs of it, computed once."""

    def __init__(self, gray: Tensor, known: Tensor, sigma: float) -> None:
        """``gray`` (H, W); pixels that are not ``known`` (H, W) count in no window; ``sigma`` of a window in pixels."""
        self.sigma = sigma
        self.known = known.float()
        self.weight = self._sum(self.known[None]).clamp_min(1e-6)
        self.gray = gray
        self.mean = self._mean(gray[None])
        self.deviation = self._deviation(gray[None], self.mean)

    def _sum(self, values: Tensor) -> Tensor:
        return blurred(values, self.sigma)

    def _mean(self, values: Tensor) -> Tensor:
        return self._sum(values * self.known) / self.weight

    def correlation(self, warped: Tensor) -> Tensor:
        """(M, H, W) normalised cross-correlation with M warped photos (M, H, W); exposure has no effect."""
        mean = self._mean(warped)
        covariance = self._mean(self.gray * warped) - self.mean * mean
        return covariance / (self.deviation * self._deviation(warped, mean))

    def _deviation(self, values: Tensor, mean: Tensor) -> Tensor:
        return ((self._mean(values**2) - mean**2).clamp_min(0) + _NOISE**2).sqrt()


def blurred(values: Tensor, sigma: float) -> Tensor:
    """Maps (M, H, W) under a Gaussian window that ends at two and a half sigma; zero outside."""
    radius = max(1, round(2.5 * sigma))
    kernel = get_gaussian_kernel1d(2 * radius + 1, sigma, device=values.device, dtype=values.dtype)
    kernel = kernel.expand(len(values), 1, 1, -1)
    # Not kornia's gaussian_blur2d: with many maps it takes 1.5 times as long, because it makes them samples of a batch.
    rows = functional.conv2d(values[None], kernel, padding=(0, radius), groups=len(values))
    column = kernel.transpose(2, 3).contiguous()
    return functional.conv2d(rows, column, padding=(radius, 0), groups=len(values))[0]
