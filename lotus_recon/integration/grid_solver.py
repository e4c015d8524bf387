"""Weighted least squares on the grid of the pixels, on a torch device: as laplacian.py on their graph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lotus_recon.integration.grid_multigrid import GridMultigrid, stencil_of
from lotus_recon.integration.grid_problem import last_along, next_along
from lotus_recon.integration.laplacian import REGULARISATION
from lotus_recon.integration.rounds import Update

_UNREAD = 4  # iterations after which the host reads whether more are needed


def gradient(weights: Tensor, errors: Tensor, data_weights: Tensor, data_errors: Tensor) -> Tensor:
    """(H, W) as ``laplacian.gradient``: weights and errors (2, H, W) of the edges, the others (H, W)."""
    flux = weights * errors
    return data_weights * data_errors + (last_along(flux) - flux).sum(0)


def minimise(
    mask: Tensor, weights: Tensor, data_weights: Tensor, right: Tensor, tolerance: Tensor, max_iterations: int
) -> Update[Tensor]:
    """The x (H, W) at which the sum of squares is least, to a residual of at most ``tolerance`` (a number there).

    Conjugate gradients in float64, preconditioned by multigrid in float32.
    """
    x, rest = torch.zeros_like(right), right
    norm = rest.norm()
    if norm <= tolerance:
        return Update(x, 0, True)
    mean_diagonal = (2 * weights.sum() + data_weights.sum()) / mask.sum()
    own = data_weights + mask * (REGULARISATION * mean_diagonal.clamp(min=np.finfo(float).tiny))
    multigrid = GridMultigrid(stencil_of(weights, own))
    direction, by_matrix, curvature = torch.zeros_like(x), torch.zeros_like(x), torch.ones_like(norm)
    for iteration in range(1, max_iterations + 1):
        corrected = multigrid.cycle((rest / norm).float()).double()
        direction = corrected - (corrected * by_matrix).sum() / curvature * direction  # flexible: float32 is not linear
        by_matrix = own * direction + _fluxes_out(weights, direction)
        curvature = (direction * by_matrix).sum().clamp(min=np.finfo(float).tiny)
        step = (direction * rest).sum() / curvature
        x = x + step * direction
        rest = rest - step * by_matrix
        norm = rest.norm().clamp(min=np.finfo(float).tiny)
        if (iteration % _UNREAD == 0 or iteration == max_iterations) and norm <= tolerance:
            return Update(x, iteration, True)
    return Update(x, max_iterations, False)


def _fluxes_out(weights: Tensor, x: Tensor) -> Tensor:
    flux = weights * (x - next_along(x.expand(2, -1, -1)))
    return (flux - last_along(flux)).sum(0)
