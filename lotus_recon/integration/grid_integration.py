"""Depth from normals on a torch device: the rounds of integrate.py on images, solved by multigrid on their grid.

Everything is computed where the problem lies. The host reads a flag after every round and every few iterations of the
solver, and labels the parts of the mask.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lotus_recon.integration.checks import Problem
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.integration.grid_prior import smooth_prior
from lotus_recon.integration.grid_problem import GridProblem, GridSteps, doubled, last_along, next_along
from lotus_recon.integration.grid_solver import gradient, minimise
from lotus_recon.integration.pieces import piece_shifts
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.integration.result import IntegrationResult
from lotus_recon.integration.reweighting import LEAST
from lotus_recon.integration.rounds import (
    FACE,
    OUTLIER,
    RUNAWAY,
    SMALLEST_SPREAD,
    STRONGEST,
    UNKNOWN,
    Rounds,
    Solution,
    Update,
)


def surface_on_grid(problem: Problem, config: IntegrationConfig, device: torch.device) -> IntegrationResult:
    """The surface of a checked problem, found on ``device`` (one with float64)."""
    integration, solution = _solved(GridProblem.of(problem, device), config)
    return integration.result(solution)


def _solved(problem: GridProblem, config: IntegrationConfig) -> tuple[_GridIntegration, Solution[Tensor]]:
    """The surface; that of a large problem starts from the surface of the same problem at half the size."""
    integration = _GridIntegration(problem, config)
    if integration.pixels <= config.direct_pixels:
        return integration, integration.run()
    coarse, found = _solved(problem.halved(), config)
    start = doubled(found.unknown, coarse.steps, problem.mask, integration.perspective)
    return integration, integration.run(start)


class _GridIntegration(Rounds[Tensor]):
    """One problem on its grid: images are zero outside the mask, those of edges (2, H, W) where there is none."""

    def __init__(self, problem: GridProblem, config: IntegrationConfig) -> None:
        self.config = config
        self.perspective = problem.K is not None
        self.mask = mask = problem.mask
        self.steps = GridSteps.of(problem, config.min_grazing_cos)
        confidence = torch.where(problem.usable & mask, problem.confidence, 0)
        self.confidence = (confidence / confidence.max().clamp(min=1e-300)).clamp(min=UNKNOWN)
        bend_weight = 1 / (1 + (self.steps.bend_deg / config.bend_deg) ** 2)
        self._take_data(problem)
        self.prior_agreement = torch.ones_like(bend_weight)
        if self.prior_weight.any():
            assert problem.prior is not None  # what else would have weight
            self.smooth_prior = torch.where(mask, smooth_prior(self._unit(problem.prior)), 0)
            self.prior_agreement = self._prior_agreement()
            self.prior_weight = self.prior_weight * self._inlier_weights()
        self.step_weight = self.steps.joined * bend_weight * self.prior_agreement
        labels, self.parts = scipy.ndimage.label(mask.cpu().numpy())
        self.pixels = int((labels > 0).sum())
        self.part = torch.from_numpy(labels).to(mask.device).long()  # (H, W) from 1; 0 outside
        self.tied = self._sums((self.prior_weight + self.anchor_weight > 0).double()) > 0

    def _take_data(self, problem: GridProblem) -> None:
        """The unknown as the prior has it and its weight, the unknown at the anchors and their weight: (H, W) each."""
        focal = 1.0 if problem.K is None else float(np.sqrt(problem.K[0, 0] * problem.K[1, 1]))
        # Steps weigh focal^2 |dw|^2: surfaces longer than this many pixels follow the prior, shorter ones the normals.
        length = self.config.prior_length * max(self.mask.shape)
        nothing = torch.zeros(self.mask.shape, dtype=torch.float64, device=self.mask.device)
        self.prior, self.prior_weight, self.anchor, self.anchor_weight = nothing, nothing, nothing, nothing
        if problem.prior is not None:
            known = self.mask & problem.prior.isfinite()
            self.prior = torch.where(known, self._unit(problem.prior), 0)
            self.prior_weight = torch.where(known, problem.prior_weight * (focal / length) ** 2, 0)
        if problem.anchors is not None:
            known = self.mask & problem.anchors.isfinite()
            self.anchor = torch.where(known, self._unit(problem.anchors), 0)
            self.anchor_weight = known * (self.config.anchor_weight * focal**2)

    def _unit(self, depth: Tensor) -> Tensor:
        return torch.log(depth) if self.perspective else depth

    def _prior_agreement(self) -> Tensor:
        """(2, H, W) 1 where the prior steps as the normals say, near 0 where it jumps."""
        told = (self.prior_weight > 0).expand(2, -1, -1)
        jump = self._slope_scale() * self._errors(self.smooth_prior)
        return torch.where(told & next_along(told), 1 / (1 + jump**2) ** 2, 1)

    def _inlier_weights(self) -> Tensor:
        """(H, W) weights of the prior, small where it stands out from its surroundings."""
        difference = (self.prior - self.smooth_prior).abs()
        spread = (1.4826 * _median(difference[self.prior_weight > 0])).clamp(min=SMALLEST_SPREAD)
        return 1 / (1 + (difference / (OUTLIER * spread)) ** 2) ** 2

    def _slope_scale(self) -> Tensor:
        """(2, H, W) what turns errors of steps into radians."""
        squared = self.steps.slope_scale**2
        return torch.sqrt((squared + next_along(squared)) / 2)

    def _flat(self) -> Tensor:
        return self._middle() * self.mask

    def _equal_sides(self) -> Tensor:
        return torch.full((2, 2, *self.mask.shape), 0.5, dtype=torch.float64, device=self.mask.device)

    def _sides(self, unknown: Tensor) -> Tensor:
        """(2, 2, H, W): ahead and behind, for x and y."""
        step_ahead = torch.where(self.steps.joined, next_along(unknown.expand(2, -1, -1)) - unknown, 0)
        steeper_behind = last_along(step_ahead) ** 2 - step_ahead**2
        ahead = torch.sigmoid(self.config.discontinuity_sharpness * self.steps.slope_scale**2 * steeper_behind)
        return torch.stack([ahead, 1 - ahead])

    def _weights(self, sides: Tensor) -> Tensor:
        mine, theirs = sides.clamp(min=LEAST) * self.confidence * self.steps.slope_scale**2
        return self.step_weight * (mine + next_along(theirs))

    def _update(self, unknown: Tensor, flat: Tensor, weights: Tensor) -> Update[Tensor]:
        data_weights = self.prior_weight + self.anchor_weight
        weighted = self.prior_weight * self.prior + self.anchor_weight * self.anchor
        target = torch.where(data_weights > 0, weighted / data_weights, 0)
        whole = gradient(weights, self.steps.step, data_weights, target - flat)
        right = gradient(weights, self._errors(unknown), data_weights, target - unknown)
        tolerance = self.config.solver_tolerance * whole.norm()
        return minimise(self.mask, weights, data_weights, right, tolerance, self.config.max_solver_iterations)

    def _errors(self, unknown: Tensor) -> Tensor:
        """(2, H, W) what is missing to the step that the normals ask for."""
        missing = self.steps.step - (next_along(unknown.expand(2, -1, -1)) - unknown)
        return torch.where(self.steps.joined, missing, 0)

    def _settled(self, unknown: Tensor, change: Tensor) -> bool:
        relief, moved = ((values - self._means(values))[self.mask] for values in (unknown, change))
        rms_moved, rms_relief = moved.square().mean().sqrt(), relief.square().mean().sqrt()
        return bool(rms_moved <= self.config.round_tolerance * rms_relief + 1e-12)

    def _runaway_factors(self, unknown: Tensor) -> Tensor:
        known = self.prior_weight > 0
        off_prior = (unknown - self.prior)[known].abs()
        spread = (1.4826 * _median(off_prior)).clamp(min=SMALLEST_SPREAD)
        # Not what is off in single pixels: of those the prior is the worse judge.
        both = torch.stack([unknown - self.smooth_prior, torch.ones_like(unknown)]) * self.mask
        off, share = avg_pool2d(both[None], FACE, stride=1, padding=FACE // 2)[0]
        beyond = ((off / share).abs() / spread - RUNAWAY).clamp(min=0)
        return torch.where(known, ((1 + beyond**2) ** 2).clamp(max=STRONGEST), 1)

    def _middle(self) -> Tensor:
        """Where the surface starts from: the median of what is known of it."""
        values = torch.cat([self.prior[self.prior_weight > 0], self.anchor[self.anchor_weight > 0]])
        return _median(values) if len(values) else values.new_zeros(())

    def _sums(self, values: Tensor) -> Tensor:
        """(parts + 1,) over the pixels (H, W) of every part, and of none."""
        if self.parts == 1:  # additions to one number would wait for each other
            return torch.stack([(values * ~self.mask).sum(), (values * self.mask).sum()])
        return values.new_zeros(self.parts + 1).index_add_(0, self.part.flatten(), values.flatten())

    def _means(self, values: Tensor) -> Tensor:
        """(H, W) the mean of the part of every pixel."""
        return (self._sums(values) / self._sums(torch.ones_like(values)))[self.part]

    def _medians(self, values: Tensor) -> Tensor:
        """(parts + 1,) of the pixels (H, W) of every part."""
        part, flat = self.part.flatten(), values.flatten()
        order = flat.argsort()
        order = order[part[order].argsort(stable=True)]
        counts = torch.bincount(part, minlength=self.parts + 1)
        first = counts.cumsum(0) - counts
        low, high = first + (counts - 1).clamp(min=0) // 2, first + counts // 2
        return (flat[order[low]] + flat[order[high.clamp(max=len(order) - 1)]]) / 2

    def _levelled(self, unknown: Tensor, continuity: Tensor) -> Tensor:
        """The surface with loose parts at the median of the rest, and each piece where the prior has it."""
        loose = self.mask & ~self.tied[self.part]
        unknown = torch.where(loose, unknown + self._middle() - self._medians(unknown)[self.part], unknown)
        if not self.prior_weight.any():
            return unknown
        graph = PixelGraph.of(self.mask.cpu().numpy())
        at = torch.from_numpy(graph.rows), torch.from_numpy(graph.cols)
        images = (unknown, self.prior, self.prior_weight, self.anchor_weight)
        values, *data = (image.cpu()[at].numpy() for image in images)
        of_edges = graph.at_first(np.stack([side.cpu()[at].numpy() for side in continuity]))
        shifts = graph.image(piece_shifts(values, graph.first, graph.second, of_edges, *data), 0.0)
        return unknown + torch.from_numpy(shifts).to(unknown.device)

    def result(self, solution: Solution[Tensor]) -> IntegrationResult:
        """The solution as images on the host."""
        joined, weights = self.steps.joined, self._weights(solution.sides)
        whole = self._weights(self._equal_sides()) / self.prior_agreement.clamp(min=LEAST)
        continuity = torch.where(joined, weights / whole.clamp(min=1e-300), 0).clamp(0, 1)
        unknown = self._levelled(solution.unknown, continuity)
        depth = torch.exp(unknown) if self.perspective else unknown
        squared = continuity * (self._slope_scale() * self._errors(unknown)) ** 2
        degree = joined.sum(0) + last_along(joined).sum(0)
        residual = torch.sqrt((squared + last_along(squared)).sum(0) / degree.clamp(min=1))
        return IntegrationResult(
            depth=_image(depth, self.mask),
            continuity=_image(continuity.permute(1, 2, 0), joined.permute(1, 2, 0)),
            residual=_image(residual, self.mask),
            component=(self.part - 1).int().cpu().numpy(),
            tied=self.tied[1:].cpu().numpy(),
            rounds=solution.rounds,
            solver_iterations=solution.iterations,
            converged=solution.converged,
        )


def _median(values: Tensor) -> Tensor:
    """The middle of values (N,), or the mean of the two in the middle."""
    ordered = values.sort().values
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _image(values: Tensor, known: Tensor) -> NDArray[np.float32]:
    """Values on the host, NaN where there are none."""
    return torch.where(known, values.float(), torch.nan).contiguous().cpu().numpy()
