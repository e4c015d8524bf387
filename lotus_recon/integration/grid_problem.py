"""A problem as images on a torch device: at half the size, and what the normals say of the steps between its pixels.

The same formulas as in halving.py and planes.py, for whole images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from lotus_recon.integration.checks import Problem


@dataclass(frozen=True, eq=False)
class GridProblem:
    """As ``Problem``, on a device: float64, NaN for an unknown depth."""

    mask: Tensor  # (H, W) bool
    normals: Tensor  # (3, H, W) unit
    usable: Tensor  # (H, W) bool
    K: NDArray[np.float64] | None  # (3, 3); None: orthographic
    confidence: Tensor  # (H, W)
    prior: Tensor | None  # (H, W)
    prior_weight: Tensor  # (H, W)
    anchors: Tensor | None  # (H, W)

    @classmethod
    def of(cls, problem: Problem, device: torch.device) -> GridProblem:
        """The problem on a device; depths of which none is known become None."""

        def image(values: NDArray) -> Tensor:
            flat = values.strides == (0, 0)  # one number for all pixels
            return torch.tensor(values[:1, :1] if flat else values, device=device).expand(problem.mask.shape)

        def depths(values: NDArray[np.float64]) -> Tensor | None:
            return image(values) if np.isfinite(values).any() else None

        return cls(
            image(problem.mask),
            torch.from_numpy(problem.normals).to(device).permute(2, 0, 1).contiguous(),
            image(problem.usable),
            problem.K,
            image(problem.confidence),
            depths(problem.prior),
            image(problem.prior_weight),
            depths(problem.anchors),
        )

    def halved(self) -> GridProblem:
        """The problem on blocks of 2x2 pixels: means of what lies in the mask."""
        usable = self.mask & self.usable
        summed = torch.stack([_sum(torch.where(usable, axis, 0)) for axis in self.normals])
        length = summed.norm(dim=0)
        block_usable = length > 1e-6
        forward = summed.new_tensor([0, 0, -1])[:, None, None]
        unit = 0.5 if self.K is None else 1.0  # orthographic depth is counted in pixels
        return replace(
            self,
            mask=_sum(self.mask.double()) > 0,
            normals=torch.where(block_usable, summed / length.clamp(min=1e-12), forward),
            usable=block_usable,
            K=None if self.K is None else np.diag([0.5, 0.5, 1.0]) @ self.K,
            confidence=_mean(self.confidence, self.mask, 0.0),
            prior=None if self.prior is None else unit * _mean(self.prior, self.prior.isfinite(), torch.nan),
            prior_weight=_mean(self.prior_weight, self.mask, 0.0),
            anchors=None if self.anchors is None else unit * _mean(self.anchors, self.anchors.isfinite(), torch.nan),
        )


@dataclass(frozen=True, eq=False)
class GridSteps:
    """As ``Steps``; images (2, H, W) are for x and y, those of edges at their first pixel and zero where is none."""

    joined: Tensor  # (2, H, W) bool: pixel and neighbour lie in the mask
    step: Tensor  # (2, H, W)
    ahead: Tensor  # (2, H, W)
    behind: Tensor  # (2, H, W)
    slope_scale: Tensor  # (2, H, W)
    bend_deg: Tensor  # (2, H, W)

    @classmethod
    def of(cls, problem: GridProblem, least_cos: float) -> GridSteps:
        """The steps that the normals ask for."""
        joined = problem.mask & next_along(problem.mask.expand(2, -1, -1))
        ahead, behind, scale = (_orthographic if problem.K is None else _perspective)(problem, least_cos)
        step = torch.where(joined, ahead - next_along(behind), 0)
        neighbours = [next_along(axis.expand(2, -1, -1)) for axis in problem.normals]
        cosine = sum(mine * other for mine, other in zip(problem.normals, neighbours, strict=True))
        bend_deg = torch.rad2deg(torch.arccos(torch.as_tensor(cosine).clamp(-1, 1)))
        return cls(joined, step, ahead, behind, scale, bend_deg)


def next_along(images: Tensor) -> Tensor:
    """(2, H, W): of the first image the pixel to the right, of the second the one below; zero outside."""
    return torch.stack([pad(images[0, :, 1:], (0, 1)), pad(images[1, 1:], (0, 0, 0, 1))])


def last_along(images: Tensor) -> Tensor:
    """(2, H, W): of the first image the pixel to the left, of the second the one above; zero outside."""
    return torch.stack([pad(images[0, :, :-1], (1, 0)), pad(images[1, :-1], (0, 0, 1, 0))])


def doubled(unknown: Tensor, steps: GridSteps, mask: Tensor, perspective: bool) -> Tensor:
    """(H, W) the surface ``unknown`` of half the size at the pixels of ``mask``: each block as the plane it is."""
    height, width = mask.shape
    across = torch.stack([steps.behind[0], steps.ahead[0]], dim=-1) / 2  # a quarter of a block from its middle
    down = torch.stack([steps.behind[1], steps.ahead[1]], dim=1) / 2
    whole = (unknown[:, None, :, None] + across[:, None] + down[..., None]).flatten(2).flatten(0, 1)
    value = torch.where(mask, whole[:height, :width], 0)
    return value if perspective else 2 * value


def _orthographic(problem: GridProblem, least_cos: float) -> tuple[Tensor, Tensor, Tensor]:
    facing = problem.normals[2].clamp(max=-least_cos)
    ahead = -0.5 * problem.normals[:2] / facing
    return ahead, -ahead, facing.expand(2, -1, -1)


def _perspective(problem: GridProblem, least_cos: float) -> tuple[Tensor, Tensor, Tensor]:
    assert problem.K is not None
    a, focal, normals = np.linalg.inv(problem.K), (problem.K[0, 0], problem.K[1, 1]), problem.normals
    height, width = problem.mask.shape
    u = torch.arange(width, dtype=torch.float64, device=normals.device) + 0.5
    v = torch.arange(height, dtype=torch.float64, device=normals.device)[:, None] + 0.5
    right, down = (a[i, 0] * u + a[i, 1] * v + a[i, 2] for i in range(2))
    least = -least_cos * torch.sqrt(right**2 + down**2 + 1)
    facing = torch.minimum(normals[0] * right + normals[1] * down + normals[2], least)  # n . r
    # Change of n . r over half a pixel.
    half = torch.stack([0.5 * (a[0, axis] * normals[0] + a[1, axis] * normals[1]) for axis in range(2)])
    ahead = torch.log(facing / torch.minimum(facing + half, least))
    behind = torch.log(facing / torch.minimum(facing - half, least))
    return ahead, behind, torch.stack([facing * side for side in focal])


def _sum(image: Tensor) -> Tensor:
    height, width = image.shape
    padded = pad(image, (0, width % 2, 0, height % 2))
    return padded.reshape(-(-height // 2), 2, -(-width // 2), 2).sum((1, 3))


def _mean(image: Tensor, known: Tensor, empty: float) -> Tensor:
    """Mean over what is known."""
    count = _sum(known.double())
    return torch.where(count > 0, _sum(torch.where(known, image, 0)) / count.clamp(min=1), empty)
