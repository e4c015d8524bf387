"""One view: coarse to fine, the offset of log depth at which the sources agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from lotus_recon.refinement.config import RefinementConfig
from lotus_recon.refinement.matching import Photo, SourceDepth, Sources, Windows, rays
from lotus_recon.refinement.offsets import Edges, FieldPrior, lowest, semi_global, smooth_field

_WIDEST_PX = 8.0  # half width of the first search, in pixels of its level: wider ones start at a coarser level
_NEXT_PX = 2.0  # half width at the levels after it: what the level before leaves open
_GOOD, _BAD = 0.85, 0.45  # correlations of confidence 1 and 0
_MARGIN = 0.1  # lead in correlation of the best hypothesis over others for confidence 1
_BESIDE = 2  # hypotheses so near to the best are no others
_AGREED, _LEAD = 0.7, 0.3  # correlation of the sources together that shows a surface; of one that sees it too
_LEAST_PRIOR_WEIGHT = 1e-4  # of the prior, where nothing else decides, beside a fully confident pixel
_FEWEST_PAIRS = 4  # below, a comparison takes half as long again
_SAMPLES = 20_000  # pixels that tell how far points move
_FEWEST_AGREED = 200  # pixels with such a surface that tell whether a source agrees
_TENSORS = 12  # of the size of all warped windows that live at once


@dataclass(frozen=True, eq=False)
class Prior:
    """(H, W) depth to start from, anything positive where it is not ``known``; ``sigma``: its relative error."""

    depth: Tensor
    known: Tensor
    sigma: float

    def moved(self, offset: Tensor) -> Prior:
        """The same with another log depth (H, W)."""
        return Prior(self.depth * offset.exp(), self.known, self.sigma)

    def at_size(self, size: Sequence[int]) -> Prior:
        """Resized by the nearest pixel, because a mixture at an edge is on no surface."""
        if self.depth.shape == tuple(size):
            return self
        depth = functional.interpolate(self.depth[None, None], tuple(size), mode="nearest-exact")[0, 0]
        known = functional.interpolate(self.known[None, None].float(), tuple(size), mode="nearest-exact")[0, 0]
        return Prior(depth, known > 0.5, self.sigma)


@dataclass(frozen=True, eq=False)
class Refined:
    """(H, W) offset of log depth from the prior, how sure it is (0 to 1), and the correlation at it."""

    offset: Tensor
    confidence: Tensor
    score: Tensor


@dataclass(frozen=True, eq=False)
class Level:
    """A photo and its sources at one scale."""

    photo: Photo
    sources: Sources

    def pixels_per_log_depth(self, prior: Prior) -> float:
        """Pixels that a point moves in the sources per unit of log depth: upper quartile of the sources' medians."""
        here, step = prior.at_size(self.photo.gray.shape), 1e-3
        every = math.ceil(math.sqrt(here.depth.numel() / _SAMPLES))
        near, known = here.depth[::every, ::every], here.known[::every, ::every]
        directions = rays(self.photo.camera, near.device)[:, ::every, ::every]
        xy, _ = self.sources.pixels(directions, torch.stack([near, near * math.exp(step)]))
        length = (xy[1] - xy[0]).norm(dim=-1) / step
        medians = torch.stack([one[known].nanmedian() for one in length]).nan_to_num(nan=0)
        return max(float(medians.quantile(0.75)), 1e-6)


def refine(
    levels: Sequence[Level],
    prior: Prior,
    start: Tensor,
    source_depth: SourceDepth | None,
    search_range: float,
    noise_px: float,
    config: RefinementConfig,
) -> Refined:
    """Offsets of a prior within about ``search_range`` of the ``start`` (H, W). ``levels``: finest first.

    The prior counts as a measurement with its error, the photos as one with that of a match, or of the cameras if they
    are worse (``noise_px``, pixels of the finest level): where they move by less than the prior is wrong (little
    parallax, poor poses, or the depth of a good sensor), it stays.
    """
    movement = [level.pixels_per_log_depth(prior) for level in levels]
    first = next((i for i, px in enumerate(movement) if search_range * px <= _WIDEST_PX), len(levels) - 1)
    offset = start
    for i in range(first, -1, -1):
        half = search_range if i == first else min(search_range, _NEXT_PX / movement[i])
        step = half / max(2, math.ceil(half * movement[i] / config.advanced.step_px))
        match = max(config.advanced.match_px / movement[i], noise_px / movement[0])
        prior_weight = max((match / prior.sigma) ** 2, _LEAST_PRIOR_WEIGHT)
        found = _refine_level(levels[i], prior, offset, prior_weight, source_depth, half, step, config)
        offset = offset + _resized(found.offset, prior.depth.shape)
    size = prior.depth.shape
    return Refined(offset, _resized(found.confidence, size), _resized(found.score, size))


def _resized(values: Tensor, size: Sequence[int]) -> Tensor:
    if values.shape == tuple(size):
        return values
    return functional.interpolate(values[None, None], tuple(size), mode="bilinear", align_corners=False)[0, 0]


def _refine_level(
    level: Level,
    prior: Prior,
    start: Tensor,
    prior_weight: float,
    source_depth: SourceDepth | None,
    half: float,
    step: float,
    config: RefinementConfig,
) -> Refined:
    """Search offsets from -half to half around ``start`` and make of the scores a smooth field."""
    here = prior.moved(start).at_size(level.photo.gray.shape)
    count = round(half / step)
    offsets = torch.linspace(-half, half, 2 * count + 1, device=here.depth.device)
    score = score_volume(level, here, source_depth, offsets, config)
    edges = Edges.of(here.depth.log(), here.known, config.advanced.edge_width)
    position, inside = lowest(semi_global(1 - score, edges, config.advanced.sgm_p1, config.advanced.sgm_p2))
    best, lead = _best_and_lead(score, position)
    matched = ((best - _BAD) / (_GOOD - _BAD)).clamp(0, 1) * (lead / _MARGIN).clamp(0, 1) * inside * here.known
    steps = position - count
    field_prior = FieldPrior(-_resized(start, here.depth.shape) / step, prior_weight)
    field = smooth_field(steps, matched, edges, field_prior, config.advanced.smoothness_weight, width=1.0)
    confidence = matched * torch.exp(-0.5 * (field - steps) ** 2)
    return Refined(field * step, confidence, best)


def _best_and_lead(score: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W) score of the chosen hypothesis, and how much it is above all that are not beside it."""
    chosen = position.round().long()
    index = torch.arange(len(score), device=score.device)[:, None, None]
    others = torch.where((index - chosen).abs() > _BESIDE, score, -1).amax(dim=0)
    best = score.gather(0, chosen[None])[0]
    return best, best - others


def score_volume(
    level: Level, prior: Prior, source_depth: SourceDepth | None, offsets: Tensor, config: RefinementConfig
) -> Tensor:
    """(L, H, W) for each offset the mean correlation with the sources that agree best; 0 where none sees the pixel."""
    windows = Windows(level.photo.gray, prior.known, config.advanced.window_sigma)
    bytes_each = 4 * _TENSORS * prior.depth.numel()
    pairs = max(
        _FEWEST_PAIRS, int(config.advanced.chunk_gb * 1e9 / bytes_each)
    )  # of a hypothesis and a source, at once
    N = len(level.sources)
    rows = [slice(first, first + pairs) for first in range(0, N, pairs)]
    parts = [(replace(level, sources=level.sources.part(row)), source_depth and source_depth.part(row)) for row in rows]
    scores = []
    for some in offsets.split(max(1, pairs // N)):
        found = [_correlations(part, windows, prior, depth, some) for part, depth in parts]
        score, seen = (torch.cat(maps, dim=1) for maps in zip(*found, strict=True))
        scores.append(_mean_of_best(score, seen, config))
    return torch.cat(scores)


def _correlations(
    level: Level, windows: Windows, prior: Prior, source_depth: SourceDepth | None, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """(L, N, H, W) correlation with each source, less its disagreement in depth; and where the source sees it."""
    directions = rays(level.photo.camera, prior.depth.device)
    xy, z = level.sources.pixels(directions, prior.depth * offsets.exp()[:, None, None])
    warped, seen = level.sources.look_up(xy)
    score = windows.correlation(warped.flatten(0, 1)).reshape(warped.shape)
    if source_depth is None:
        return score, seen
    disagreement, in_sight = source_depth.judge(xy / level.sources.size[:, None, None], z)
    return score - disagreement, seen & in_sight


def _mean_of_best(score: Tensor, seen: Tensor, config: RefinementConfig) -> Tensor:
    """(L, H, W) over the sources (L, N, H, W)."""
    best = torch.where(seen, score, -torch.inf).topk(min(config.advanced.best_sources, score.shape[1]), dim=1).values
    some = best > -torch.inf
    return torch.where(some, best, 0).sum(1) / some.sum(1).clamp_min(1)


def source_agreement(level: Level, prior: Prior, config: RefinementConfig) -> Tensor:
    """(N,) share of the surface that the sources show together that each of them shows too; NaN where there is little.

    A photo whose pose is wrong shows almost none of it.
    """
    here = prior.at_size(level.photo.gray.shape)
    windows = Windows(level.photo.gray, here.known, config.advanced.window_sigma)
    zero = torch.zeros(1, device=here.depth.device)
    score, seen = _correlations(level, windows, here, None, zero)
    surface = (_mean_of_best(score, seen, config)[0] > _AGREED) & here.known
    looked = surface & seen[0]
    agreed = (looked & (score[0] > _LEAD)).flatten(1).sum(1)
    count = looked.flatten(1).sum(1)
    return torch.where(count >= _FEWEST_AGREED, agreed / count.clamp_min(1), torch.nan)
