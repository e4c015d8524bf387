"""From scores of hypotheses to an offset per pixel: semi-global paths, a parabola, and a smooth field with edges.

L hypotheses at equal steps of log depth, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Edges:
    """(H, W - 1) and (H - 1, W): how much neighbours to the right and below belong to one surface, 0 to 1."""

    right: Tensor
    below: Tensor

    @classmethod
    def of(cls, log_depth: Tensor, known: Tensor, width: float) -> Edges:
        """Edges of a map (H, W): where the slope of log depth changes by more than about ``width`` within a pixel.

        A slanted plane has no edge, however steep.
        """
        return cls(_bonds(log_depth, known, width), _bonds(log_depth.T, known.T, width).T)


def _bonds(log_depth: Tensor, known: Tensor, width: float) -> Tensor:
    """(H, W - 1) between horizontal neighbours."""
    step = log_depth.diff(dim=1)
    before = torch.cat([step[:, :1], step[:, :-1]], dim=1)
    after = torch.cat([step[:, 1:], step[:, -1:]], dim=1)
    jump = torch.minimum((step - before).abs(), (step - after).abs())
    return torch.exp(-0.5 * (jump / width) ** 2) * (known[:, 1:] & known[:, :-1])


def semi_global(cost: Tensor, edges: Edges, sgm_p1: float, sgm_p2: float) -> Tensor:
    """(L, H, W) costs, each summed along the paths from four sides (Hirschmueller, TPAMI 2008, eq. 13), their mean.

    Offsets are relative to the prior, so what is cheap is its shape, not a fronto-parallel plane; edges cost nothing.
    """
    rows = cost.permute(2, 1, 0).contiguous()  # W H L
    columns = cost.permute(1, 2, 0).contiguous()  # H W L
    right, below = edges.right.T.contiguous(), edges.below.contiguous()
    across = _paths(rows, right, sgm_p1, sgm_p2) + _paths(rows.flip(0), right.flip(0), sgm_p1, sgm_p2).flip(0)
    down = _paths(columns, below, sgm_p1, sgm_p2)
    up = _paths(columns.flip(0), below.flip(0), sgm_p1, sgm_p2).flip(0)
    return (across.permute(2, 1, 0) + (down + up).permute(2, 0, 1)) / 4


def _paths(cost: Tensor, bond: Tensor, sgm_p1: float, sgm_p2: float) -> Tensor:
    """Path costs (S, M, L) of M paths of S steps; ``bond`` (S - 1, M) scales what a change of offset costs."""
    total = torch.empty_like(cost)
    total[0] = cost[0]
    small, large = sgm_p1 * bond[..., None], sgm_p2 * bond[..., None]
    for i in range(1, len(cost)):
        before = total[i - 1]
        least = before.amin(dim=1, keepdim=True)
        best = torch.minimum(before, least + large[i - 1])
        aside = before + small[i - 1]
        best[:, 1:] = torch.minimum(best[:, 1:], aside[:, :-1])
        best[:, :-1] = torch.minimum(best[:, :-1], aside[:, 1:])
        torch.add(cost[i], best - least, out=total[i])
    return total


def lowest(cost: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W) position of the lowest cost, to a fraction of a step by a parabola; whether it lies inside the range."""
    L = len(cost)
    best = cost.argmin(dim=0)
    inner = best.clamp(1, L - 2)
    left, middle, right = (cost.gather(0, (inner + i)[None])[0] for i in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = torch.where(curvature > _TINY, (left - right) / (2 * curvature.clamp_min(_TINY)), 0).clamp(-0.5, 0.5)
    inside = (best > 0) & (best < L - 1)
    return torch.where(inside, inner + shift, best.float()), inside


@dataclass(frozen=True, eq=False)
class FieldPrior:
    """(H, W) values of a field where nothing else decides, and their weight beside a fully confident pixel."""

    values: Tensor
    weight: float


def smooth_field(
    data: Tensor, weight: Tensor, edges: Edges, prior: FieldPrior, smoothness: float, width: float, rounds: int = 3
) -> Tensor:
    """(H, W) field near ``data`` where its ``weight`` (0 to 1) is high, smooth inside the edges, and near its prior.

    Minimises sum weight rho(u - data) + smoothness sum bond |grad u|^2 + prior.weight sum |u - prior.values|^2, rho the
    Cauchy loss of ``width``, by reweighted least squares with conjugate gradients: a confident pixel far from its
    confident neighbours has no say.
    """
    field = prior.values
    robust = weight
    for _ in range(rounds):
        right_side = robust * data + prior.weight * prior.values
        field = solve_field(robust + prior.weight, right_side, edges, smoothness, field)
        robust = weight / (1 + ((field - data) / width) ** 2)
    return field


_ITERATIONS = 40  # of the solver


def solve_field(weight: Tensor, right_side: Tensor, edges: Edges, smoothness: float, start: Tensor) -> Tensor:
    """(H, W) u with weight u + smoothness D'BD u = right_side; D: differences of neighbours, B: bonds; weight above 0.

    Conjugate gradients from ``start``, with the diagonal as preconditioner.
    """
    across, down = smoothness * edges.right, smoothness * edges.below
    diagonal = weight + _scattered(across, 1) + _scattered(down, 0)

    def apply(u: Tensor) -> Tensor:
        return weight * u + scattered_flow(across * u.diff(dim=1), down * u.diff(dim=0))

    x = start.clone()
    residual = right_side - apply(x)
    direction = z = residual / diagonal
    energy = (residual * z).sum()
    for _ in range(_ITERATIONS):
        image = apply(direction)
        length = energy / (direction * image).sum().clamp_min(1e-30)
        x = x + length * direction
        residual = residual - length * image
        z = residual / diagonal
        following = (residual * z).sum()
        direction = z + following / energy.clamp_min(1e-30) * direction
        energy = following
    return x


def scattered_flow(right: Tensor, below: Tensor) -> Tensor:
    """(H, W) D'f of a flow f to the right and below: what arrives at a pixel less what leaves."""
    return -_divergence(right, 1) - _divergence(below, 0)


def _divergence(flow: Tensor, axis: int) -> Tensor:
    """Of a flow between neighbours: what leaves minus what arrives, one longer than the flow along ``axis``."""
    pad = [0, 0, 0, 0]
    pad[2 * (1 - axis) : 2 * (1 - axis) + 2] = [1, 1]
    return torch.nn.functional.pad(flow, pad).diff(dim=axis)


def _scattered(bond: Tensor, axis: int) -> Tensor:
    """Sum of the bonds of each pixel along ``axis``."""
    pad = [0, 0, 0, 0]
    pad[2 * (1 - axis) : 2 * (1 - axis) + 2] = [1, 1]
    padded = torch.nn.functional.pad(bond, pad)
    length = padded.shape[axis] - 1
    return padded.narrow(axis, 0, length) + padded.narrow(axis, 1, length)
