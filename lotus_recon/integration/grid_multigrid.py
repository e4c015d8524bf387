"""Multigrid on the grid of the pixels, for any torch device: an approximate inverse, for conjugate gradients.

A matrix is a stencil: what joins every pixel to the 3x3 around it; the middle is its diagonal. Every other pixel of
every other row is a pixel of the coarser grid. Interpolation between them follows the stencil (Dendy, "Black box
multigrid", J. Comput. Phys. 48, 1982), so a depth discontinuity is one on every grid, and the coarser matrix is the
product of the finer with the interpolation on both sides. All is the same few operations on whole images: nothing is
read by the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from lotus_recon.integration.grid_problem import last_along

_COARSEST = 600  # pixels that are solved for directly
_DAMPING = 0.8  # of Jacobi's steps
_SHIFT = 1e-7  # of the diagonal of the coarsest matrix
_SWEEPS = 2  # before and after the correction


@dataclass(frozen=True, eq=False)
class _Level:
    stencil: Tensor  # (3, 3, H, W), H and W even
    own: Tensor  # (H, W) what the diagonal has beside the weights of the edges
    inverse: Tensor  # (H, W) of the diagonal
    interpolation: Tensor  # (2, 2, H / 2, 2, W / 2, 2): of the coarse pixel so far down and right, in a 2x2 block

    def in_float32(self) -> _Level:
        return _Level(*(part.float() for part in (self.stencil, self.own, self.inverse, self.interpolation)))

    def product(self, x: Tensor) -> Tensor:
        """(H, W) the product of the matrix and an image (H, W): of what is constant, exactly that with ``own``."""
        return (self.stencil * (_neighbours(x) - x)).sum((0, 1)) + self.own * x


class GridMultigrid:
    """The levels of a matrix, and the cycle through them."""

    def __init__(self, stencil: Tensor) -> None:
        """``stencil`` (3, 3, H, W) float64, as ``stencil_of`` makes it."""
        self._levels: list[_Level] = []
        while stencil[0, 0].numel() > _COARSEST:
            stencil = pad(stencil, (0, stencil.shape[3] % 2, 0, stencil.shape[2] % 2))
            level = _Level(stencil, stencil.sum((0, 1)), _inverse(stencil[1, 1]), _interpolation(stencil))
            self._levels.append(level.in_float32())
            stencil = _coarser(level)
        self._size = stencil.shape[2:]
        self._direct = _dense_inverse(stencil).float()

    def cycle(self, right: Tensor) -> Tensor:
        """(H, W) about the solution for a right side (H, W), float32; a symmetric positive operator."""
        return self._cycle(right, 0)

    def _cycle(self, right: Tensor, depth: int) -> Tensor:
        if depth == len(self._levels):
            return (self._direct @ right.reshape(-1)).reshape(self._size)
        level = self._levels[depth]
        given = right.shape
        height, width = level.inverse.shape
        right = pad(right, (0, width - given[1], 0, height - given[0]))
        x = _DAMPING * level.inverse * right
        for _ in range(_SWEEPS - 1):
            x = _swept(level, x, right)
        rest = right - level.product(x)
        coarse = self._cycle(_restricted(level, rest), depth + 1)
        x = x + _interpolated(level, coarse)
        for _ in range(_SWEEPS):
            x = _swept(level, x, right)
        return x[: given[0], : given[1]]


def stencil_of(weights: Tensor, own: Tensor) -> Tensor:
    """(3, 3, H, W) the matrix of a sum of squares: ``weights`` (2, H, W) of the steps from every pixel to the right and
    below, zero where there is none, and ``own`` (H, W), the rest of the diagonal.
    """
    stencil = own.new_zeros((3, 3, *own.shape))
    (stencil[1, 2], stencil[2, 1]), (stencil[1, 0], stencil[0, 1]) = -weights, -last_along(weights)
    stencil[1, 1] = own - stencil.sum((0, 1))
    return stencil


def _neighbours(x: Tensor) -> Tensor:
    """(3, 3, H, W) a view: the neighbours of every pixel, zero outside."""
    height, width = x.shape[-2:]
    padded = pad(x, (1, 1, 1, 1))
    row, col = padded.stride()
    return padded.as_strided((3, 3, height, width), (row, col, row, col))


def _swept(level: _Level, x: Tensor, right: Tensor) -> Tensor:
    return x + _DAMPING * level.inverse * (right - level.product(x))


def _inverse(diagonal: Tensor) -> Tensor:
    """Zero where nothing is: pixels outside the mask stay zero."""
    return torch.where(diagonal > 0, 1 / diagonal, 0)


def _interpolation(stencil: Tensor) -> Tensor:
    """How much of each of four coarse pixels a pixel is: by the weights that join it to them.

    Between two, the stencil is summed across the line through them; in the middle of four, the pixels between two of
    them count as what these are interpolated to.
    """
    height, width = stencil.shape[2] // 2, stencil.shape[3] // 2
    joined = -stencil.reshape(3, 3, height, 2, width, 2)
    own = stencil.sum((0, 1)).clamp(min=0).reshape(height, 2, width, 2)
    of = stencil.new_zeros((2, 2, height, 2, width, 2))
    of[0, 0, :, 0, :, 0] = (stencil[1, 1].reshape(height, 2, width, 2)[:, 0, :, 0] > 0).to(stencil)
    across = joined[:, :, :, 0, :, 1].sum(0)  # (3, h, w) by column
    sides = torch.stack([across[0], across[2]])
    of[0, :, :, 0, :, 1] = _shares(sides, sides.sum(0) + own[:, 0, :, 1])
    down = joined[:, :, :, 1, :, 0].sum(1)
    sides = torch.stack([down[0], down[2]])
    of[:, 0, :, 1, :, 0] = _shares(sides, sides.sum(0) + own[:, 1, :, 0])
    middle = joined[:, :, :, 1, :, 1]  # (3, 3, h, w)
    corners = middle[::2, ::2].clone()  # (2, 2, h, w)
    corners[0] += middle[0, 1] * of[0, :, :, 0, :, 1]  # by the pixel above
    corners[1] += middle[2, 1] * _next(of[0, :, :, 0, :, 1], -2)
    corners[:, 0] += middle[1, 0] * of[:, 0, :, 1, :, 0]
    corners[:, 1] += middle[1, 2] * _next(of[:, 0, :, 1, :, 0], -1)
    of[:, :, :, 1, :, 1] = _shares(corners, stencil[1, 1].reshape(height, 2, width, 2)[:, 1, :, 1])
    return of


def _shares(parts: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, parts / whole, 0)


def _next(images: Tensor, axis: int) -> Tensor:
    """Every pixel's next one along an axis; zero outside."""
    nothing = torch.zeros_like(images.narrow(axis, 0, 1))
    return torch.cat([images.narrow(axis, 1, images.shape[axis] - 1), nothing], axis)


def _interpolated(level: _Level, coarse: Tensor) -> Tensor:
    """(H, W) of a coarse image (H / 2, W / 2)."""
    height, width = coarse.shape
    padded = pad(coarse, (0, 1, 0, 1))
    row, col = padded.stride()
    corners = padded.as_strided((2, 2, height, 1, width, 1), (row, col, row, 1, col, 1))
    return (level.interpolation * corners).sum((0, 1)).reshape(level.inverse.shape)


def _restricted(level: _Level, fine: Tensor) -> Tensor:
    """(H / 2, W / 2): the transpose of the interpolation."""
    height, width = fine.shape[0] // 2, fine.shape[1] // 2
    parts = (level.interpolation * fine.reshape(height, 2, width, 2)).sum((3, 5))  # (2, 2, h, w)
    total = parts[0, 0].clone()
    total[1:] += parts[1, 0, :-1]
    total[:, 1:] += parts[0, 1, :, :-1]
    total[1:, 1:] += parts[1, 1, :-1, :-1]
    return total


def _coarser(level: _Level) -> Tensor:
    """(3, 3, h, w) the product of the matrix with the interpolation on both sides, read off nine images.

    Each is one at every third pixel of every third row: of these a pixel has one around it.
    """
    height, width = level.inverse.shape[0] // 2, level.inverse.shape[1] // 2
    found = level.stencil.new_zeros((3, 3, height, width))
    rows = torch.arange(height, device=found.device)
    cols = torch.arange(width, device=found.device)
    for a in range(3):
        for b in range(3):
            ones = ((rows % 3 == a)[:, None] & (cols % 3 == b)).to(found)
            by = _restricted(level, level.product(_interpolated(level, ones)))
            for i in range(3):  # rows whose number is i more than a multiple of three have it so far below
                for j in range(3):
                    dy, dx = (a - i + 1) % 3, (b - j + 1) % 3
                    found[dy, dx, i::3, j::3] = by[i::3, j::3]
    return found


def _dense_inverse(stencil: Tensor) -> Tensor:
    """(N, N) of the matrix; one at pixels where nothing is. All are shifted by what float32 cannot tell from zero."""
    height, width = stencil.shape[2:]
    size = height * width
    number = torch.arange(1, size + 1, device=stencil.device).reshape(height, width)
    dense = stencil.new_zeros((size, size + 1))
    dense.scatter_(1, _neighbours(number).reshape(9, size).T, stencil.reshape(9, size).T)  # column 0: outside
    matrix = dense[:, 1:]
    diagonal = matrix.diagonal()
    diagonal += torch.where(diagonal > 0, _SHIFT * diagonal, 1)
    factor, _ = torch.linalg.cholesky_ex(matrix)
    return torch.cholesky_inverse(factor)
