"""Depth from normals: weighted least squares whose edge weights find the depth discontinuities, round by round.

Every pixel has a step to each neighbour that its normals ask for (planes.py). The weights start equal; after each round
the side of a pixel, left or right, above or below, on which the surface found so far is less steep weighs more:
bilateral normal integration, Cao et al., ECCV 2022, on steps of second order instead of one-sided differences. Steps
between normals that differ much weigh less from the start: a plane on either side is a poor model there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage
from numpy.typing import ArrayLike, NDArray

from lotus_recon.integration.blocks import in_blocks
from lotus_recon.integration.checks import Problem, checked
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.integration.halving import doubled, halved
from lotus_recon.integration.laplacian import gradient, minimise
from lotus_recon.integration.pieces import piece_shifts
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.integration.planes import Steps, steps_between
from lotus_recon.integration.result import IntegrationResult
from lotus_recon.integration.reweighting import LEAST, edge_errors, edge_weights, side_weights
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
from lotus_recon.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def integrate_normals(
    normals: FloatArray,
    mask: BoolArray,
    K: FloatArray | None = None,
    depth_prior: FloatArray | None = None,
    prior_weight: ArrayLike | None = None,
    *,
    confidence: FloatArray | None = None,
    anchors: FloatArray | None = None,
    config: IntegrationConfig | None = None,
    device: torch.device | None = None,
) -> IntegrationResult:
    """The depth whose normals are the given ones, discontinuous where they cannot belong to one surface.

    ``normals`` (H, W, 3): camera axes x right, y down, z forward, facing the camera. ``mask`` (H, W): where to
    integrate. ``K`` (3, 3): intrinsics in pixels, first pixel centre at (0.5, 0.5); None is an orthographic camera and
    depth in pixels. ``depth_prior`` (H, W): depth that decides what is larger than ``config.prior_length``, in the unit
    of the result, and whose jumps are discontinuities from the start; where it is not finite (or not positive, with K)
    it is not used. ``prior_weight``: number or (H, W), 1 is usual. ``confidence`` (H, W) of the normals: relative
    weights. ``anchors`` (H, W): known depths of single pixels, NaN elsewhere. ``device``: with
    CUDA the surface is found there.

    Raises InputError for shapes that do not fit, a mask without pixels, normals that are missing or face away in more
    than ``config.max_bad_share`` of it, and a prior or anchors without a valid pixel.
    """
    config = config or IntegrationConfig()
    problem = checked(normals, mask, K, depth_prior, prior_weight, confidence, anchors, config)
    result = _surface(problem, config, device)
    if not result.converged:
        log.warning("integration of %d normals did not converge in %d rounds", problem.mask.sum(), result.rounds)
    return result


def _surface(problem: Problem, config: IntegrationConfig, device: torch.device | None) -> IntegrationResult:
    if device is not None and device.type == "cuda":
        from lotus_recon.integration.grid_integration import surface_on_grid  # torch, which numba does without

        return surface_on_grid(problem, config, device)
    integration, solution = _solved(problem, config)
    return integration.result(solution)


def _solved(problem: Problem, config: IntegrationConfig) -> tuple[_Integration, Solution[NDArray[np.float64]]]:
    """The surface; that of a large problem starts from the surface of the same problem at half the size."""
    integration = _Integration(problem, config)
    if len(integration.graph) <= config.direct_pixels:
        return integration, integration.run()
    coarse, found = _solved(halved(problem), config)
    start = doubled(found.unknown, coarse.graph, coarse.steps, integration.graph, integration.perspective)
    return integration, integration.run(start)


class _Integration(Rounds[NDArray[np.float64]]):
    """One problem on its graph. The unknown is log depth with K, depth without."""

    def __init__(self, problem: Problem, config: IntegrationConfig) -> None:
        self.config = config
        self.perspective = problem.K is not None
        self.graph = graph = PixelGraph.of(problem.mask)
        inside = problem.mask
        self.steps: Steps = steps_between(graph, problem.normals[inside], problem.K, config.min_grazing_cos)
        confidence = np.where(problem.usable, problem.confidence, 0.0)[inside]
        self.confidence = np.maximum(confidence / max(confidence.max(), 1e-300), UNKNOWN)
        bend_weight = 1 / (1 + (self.steps.bend_deg / config.bend_deg) ** 2)
        self.prior, self.prior_weight, self.anchor, self.anchor_weight = self._data_terms(problem)
        self.prior_agreement = np.ones(len(graph.first))
        if self.prior_weight.any():
            self.smooth_prior = self._smooth_prior(problem.prior)
            self.prior_agreement = self._prior_agreement(self.smooth_prior)
            self.prior_weight = self.prior_weight * self._inlier_weights(self.smooth_prior)
        self.step_weight = bend_weight * self.prior_agreement
        labels, count = scipy.ndimage.label(inside)
        self.component = labels[inside] - 1
        held = (self.prior_weight + self.anchor_weight) > 0
        self.tied = np.bincount(self.component, held, count) > 0

    def _data_terms(self, problem: Problem) -> tuple[NDArray[np.float64], ...]:
        """(P,) each: the unknown as the prior has it and its weight, the unknown at the anchors and their weight."""
        inside = problem.mask
        focal = 1.0 if problem.K is None else float(np.sqrt(problem.K[0, 0] * problem.K[1, 1]))
        # Steps weigh focal^2 |dw|^2: surfaces longer than this many pixels follow the prior, shorter ones the normals.
        length = self.config.prior_length * max(inside.shape)
        weight = problem.prior_weight * (focal / length) ** 2
        prior, anchor = (np.log(d) if self.perspective else d for d in (problem.prior[inside], problem.anchors[inside]))
        known = np.isfinite(prior)
        anchored = np.isfinite(anchor) * (self.config.anchor_weight * focal**2)
        return np.nan_to_num(prior), np.where(known, weight[inside], 0.0), np.nan_to_num(anchor), anchored

    def _smooth_prior(self, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P,) the prior, in the unit of the unknown, without what is too small for a face: medians of 5x5 pixels."""
        nearest = scipy.ndimage.distance_transform_edt(np.isnan(prior), return_distances=False, return_indices=True)
        filled = prior[tuple(nearest)]
        smooth = scipy.ndimage.median_filter(np.log(filled) if self.perspective else filled, size=FACE)
        return np.asarray(smooth[self.graph.mask], np.float64)

    def _prior_agreement(self, smooth: NDArray[np.float64]) -> NDArray[np.float64]:
        """(E,) 1 where the prior steps as the normals say, near 0 where it jumps.

        Of two faces that look the same way, one before the other, the normals know nothing.
        """
        told = self.prior_weight > 0
        jump = self._slope_scale() * self._errors(smooth)
        return np.where(told[self.graph.first] & told[self.graph.second], 1 / (1 + jump**2) ** 2, 1.0)

    def _inlier_weights(self, smooth: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P,) weights of the prior, small where it stands out from its surroundings."""
        difference = np.abs(self.prior - smooth)
        spread = max(1.4826 * float(np.median(difference[self.prior_weight > 0])), SMALLEST_SPREAD)
        return 1 / (1 + (difference / (OUTLIER * spread)) ** 2) ** 2

    def _slope_scale(self) -> NDArray[np.float64]:
        """(E,) what turns errors of steps into radians."""
        squared = self.steps.slope_scale**2
        scale: NDArray[np.float64] = np.sqrt((self.graph.at_first(squared) + self.graph.at_second(squared)) / 2)
        return scale

    def _flat(self) -> NDArray[np.float64]:
        return np.full(len(self.graph), self._middle())

    def _equal_sides(self) -> NDArray[np.float64]:
        return np.full((2, 2, len(self.graph)), 0.5)

    def _update(
        self,
        unknown: NDArray[np.float64],
        flat: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> Update[NDArray[np.float64]]:
        data_weights = self.prior_weight + self.anchor_weight
        weighted = self.prior_weight * self.prior + self.anchor_weight * self.anchor
        target = weighted / np.where(data_weights > 0, data_weights, 1)
        whole = gradient(self.graph, weights, self.steps.step, data_weights, target - flat)
        return minimise(
            self.graph,
            weights,
            data_weights,
            gradient(self.graph, weights, self._errors(unknown), data_weights, target - unknown),
            self.config.solver_tolerance * float(np.linalg.norm(whole)),
            self.config.max_solver_iterations,
        )

    def _runaway_factors(self, unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        known = self.prior_weight > 0
        spread = max(1.4826 * float(np.median(np.abs(unknown - self.prior)[known])), SMALLEST_SPREAD)
        # Not what is off in single pixels: of those the prior is the worse judge.
        off = scipy.ndimage.uniform_filter(self.graph.image(unknown - self.smooth_prior, 0.0), FACE, mode="constant")
        share = scipy.ndimage.uniform_filter(self.graph.mask.astype(float), FACE, mode="constant")
        mean_off = off[self.graph.mask] / share[self.graph.mask]
        beyond = np.maximum(np.abs(mean_off) / spread - RUNAWAY, 0)
        return np.minimum((1 + beyond**2) ** 2, STRONGEST)

    def _middle(self) -> float:
        """Where the surface starts from: the median of what is known of it."""
        known = [self.prior[self.prior_weight > 0], self.anchor[self.anchor_weight > 0]]
        values = np.concatenate(known)
        return float(np.median(values)) if len(values) else 0.0

    def _errors(self, unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        """(E,) what is missing to the step that the normals ask for."""
        errors = np.empty(len(self.graph.first))
        in_blocks(edge_errors, len(errors), self.graph.first, self.graph.second, self.steps.step, unknown, errors)
        return errors

    def _sides(self, unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        sides, graph = np.empty((2, 2, len(self.graph))), self.graph
        mine = graph.horizontal, self.steps.slope_scale, self.config.discontinuity_sharpness
        in_blocks(side_weights, len(graph), graph.edge_lists, *mine, unknown, sides)
        return sides

    def _weights(self, sides: NDArray[np.float64]) -> NDArray[np.float64]:
        weights, graph = np.empty(len(self.graph.first)), self.graph
        edges = graph.first, graph.second, graph.horizontal, self.step_weight
        in_blocks(edge_weights, len(weights), *edges, self.confidence, self.steps.slope_scale, sides, weights)
        return weights

    def _settled(self, unknown: NDArray[np.float64], change: NDArray[np.float64]) -> bool:
        relief = unknown - self._component_means(unknown)[self.component]
        moved = change - self._component_means(change)[self.component]
        return bool(np.sqrt(np.mean(moved**2)) <= self.config.round_tolerance * np.sqrt(np.mean(relief**2)) + 1e-12)

    def _component_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.component, values) / np.bincount(self.component)

    def _component_medians(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(scipy.ndimage.median(values, self.component, np.arange(len(self.tied))))

    def result(self, solution: Solution[NDArray[np.float64]]) -> IntegrationResult:
        """The solution as images."""
        unknown, weights = solution.unknown, self._weights(solution.sides)
        graph = self.graph
        loose = ~self.tied[self.component]
        level = self._middle() - self._component_medians(unknown)[self.component]
        unknown = np.where(loose, unknown + level, unknown)
        whole = self._weights(np.full((2, 2, len(graph)), 0.5)) / np.maximum(self.prior_agreement, LEAST)
        continuity = np.clip(weights / np.maximum(whole, 1e-300), 0, 1)
        weights_of_data = self.prior, self.prior_weight, self.anchor_weight
        unknown = unknown + piece_shifts(unknown, graph.first, graph.second, continuity, *weights_of_data)
        depth = np.exp(unknown) if self.perspective else unknown
        squared = continuity * (self._slope_scale() * self._errors(unknown)) ** 2
        degree = np.bincount(graph.first, minlength=len(graph)) + np.bincount(graph.second, minlength=len(graph))
        total = np.bincount(graph.first, squared, len(graph)) + np.bincount(graph.second, squared, len(graph))
        return IntegrationResult(
            depth=graph.image(depth.astype(np.float32), np.nan),
            continuity=graph.edge_image(continuity.astype(np.float32), np.nan),
            residual=graph.image(np.sqrt(total / np.maximum(degree, 1)).astype(np.float32), np.nan),
            component=graph.image(self.component.astype(np.int32), -1),
            tied=self.tied,
            rounds=solution.rounds,
            solver_iterations=solution.iterations,
            converged=solution.converged,
        )
