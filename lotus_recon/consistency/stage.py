"""The consistency stage: aligned depth in, depth that other views do not contradict and a confidence out."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.consistency.solid import without_flying
from lotus_recon.errors import InputError
from lotus_recon.geometry.consistency import (
    DepthTensors,
    Votes,
    coarse_samples,
    count_votes,
    covisible,
    disagreement,
)
from lotus_recon.geometry.devices import pick_device
from lotus_recon.geometry.points import MAD_TO_SIGMA
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.progress import track
from lotus_recon.types import DepthKind, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

REPORT = "consistency.json"
_WORK = "work"  # folder for what is compared; removed when the stage is done
_SPREAD_SAMPLES = 2000  # pixels per pair of views that measure how well maps agree
_MOST_SPREAD_SAMPLES = 1_000_000  # of all pairs: memory must not grow with the number of views
_MUCH_CONTRADICTED = 0.2  # share of the pixels of a view, beyond which a warning says so
_DROPPED = -1.0  # in place of a confidence
_PRIOR = 1.0  # votes that the confidence of an unseen pixel counts for


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads: ``<stem>.npz`` with SCENE or METRIC depth in ``depth_dir``, where a view has one.

    A ``confidence`` there, as multi-view stereo writes it, decides how much a contradiction counts, and goes on into
    the result.
    """

    scene: Scene
    depth_dir: Path
    runtime: Runtime


@dataclass(frozen=True)
class ViewConsistency:
    """Shares of the valid pixels of one view."""

    name: str
    neighbours: int  # views it was checked against
    confirmed: float
    unseen: float  # kept, though no other view has a say
    contradicted: float  # dropped
    flying: float  # dropped at depth edges and grazing surfaces


@dataclass(frozen=True)
class ConsistencyResult:
    """The checked maps in ``folder``: ``<stem>.npz`` with depth, depth_valid, confidence and meta."""

    folder: Path
    kind: DepthKind
    agreement: float  # relative difference of depth up to which two maps agree
    views: tuple[ViewConsistency, ...]

    def depth_file(self, name: str) -> Path:
        """Where the checked depth of the view ``name`` is."""
        return self.folder / f"{PurePosixPath(name).with_suffix('')}.npz"

    def save(self) -> None:
        """Write consistency.json."""
        write_json(self.folder / REPORT, {"kind": self.kind, "agreement": self.agreement, "views": self.views})

    @classmethod
    def load(cls, folder: Path) -> ConsistencyResult:
        """The result of an earlier run. Raises InputError when consistency.json is missing or broken."""
        path = folder / REPORT
        try:
            report = json.loads(path.read_text())
            views = tuple(ViewConsistency(**view) for view in report["views"])
            return cls(folder, DepthKind.parse(report["kind"]), float(report["agreement"]), views)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a consistency report: {error}") from error


def run(inputs: Inputs, config: ConsistencyConfig, out_dir: Path) -> ConsistencyResult:
    """Check every map against its neighbours; writes ``<stem>.npz`` per view and consistency.json.

    Raises InputError when there is no map, or one is neither SCENE nor METRIC.
    """
    maps = SceneMaps(inputs.depth_dir, ("depth", "confidence"), POSED_DEPTH)
    views = [view for view in inputs.scene.views if maps.has(view)]
    if not views:
        raise InputError(f"no aligned depth maps in {inputs.depth_dir} for the {len(inputs.scene.views)} views")
    kind = maps.load(views[0]).required_depth.kind
    if not _is_checked(config, kind):
        return _finished(ConsistencyResult(out_dir, kind, 0.0, _kept_whole(maps, views, out_dir)))
    work = out_dir / _WORK
    compared = _Compared.of(maps, views, pick_device(inputs.runtime.device), config, work)
    agreement = _measured_agreement(compared, config)
    with SceneMaps(out_dir).saving_behind() as checked:
        reports = tuple(_check(compared, i, agreement, config, checked) for i in _tracked(views))
    shutil.rmtree(work)
    if agreement >= config.advanced.max_agreement:
        log.warning(
            "depth maps disagree by more than the largest width of agreement, %.1f %% of depth: expect a rough "
            "surface; more photos that overlap, or better poses, help",
            100 * agreement,
        )
    _warn(reports)
    return _finished(ConsistencyResult(out_dir, kind, agreement, reports))


def _finished(result: ConsistencyResult) -> ConsistencyResult:
    result.save()
    return result


def _tracked(views: Sequence[View]) -> Iterator[int]:
    return track(range(len(views)), "check depth against other views", len(views))


def _is_checked(config: ConsistencyConfig, kind: DepthKind) -> bool:
    if config.check_depth == "auto":
        return kind is not DepthKind.METRIC
    return config.check_depth == "on"


def _kept_whole(maps: SceneMaps, views: Sequence[View], out_dir: Path) -> tuple[ViewConsistency, ...]:
    """Write every valid pixel with the confidence it has."""
    with SceneMaps(out_dir).saving_behind() as checked:
        for view, one in zip(views, maps.stream(views), strict=True):
            depth = one.required_depth
            checked.save(view, depth, one.weight * depth.valid)
    return tuple(ViewConsistency(view.name, 0, 0.0, 1.0, 0.0, 0.0) for view in views)


@dataclass(frozen=True, eq=False)
class _Compared:
    """What is compared of the maps of V views: depth without flying pixels, on disk, the last few in memory."""

    views: Sequence[View]
    maps: SceneMaps
    valid_pixels: Sequence[int]  # of each view, before flying pixels were dropped
    neighbours: Sequence[NDArray[np.int64]]  # of each view the views that it is checked against, best first
    tensors: Callable[[View], DepthTensors]

    @classmethod
    def of(
        cls, maps: SceneMaps, views: Sequence[View], device: torch.device, config: ConsistencyConfig, work: Path
    ) -> _Compared:
        """Read every map once and leave in ``work`` what of it is compared."""
        solid_maps = SceneMaps(work, ("depth", "confidence"), POSED_DEPTH, compressed=False)
        valid_pixels, samples = [], []
        for view, one in zip(views, track(maps.stream(views), "read depth", len(views)), strict=True):
            depth, solid = one.required_depth, without_flying(view, one, config, device)
            valid_pixels.append(int(depth.valid.sum()))
            samples.append(coarse_samples(depth.values, solid))
            solid_maps.save(view, replace(depth, valid=solid), one.confidence)
        count = config.advanced.check_neighbours
        neighbours = covisible(views, samples, count, config.advanced.min_parallax_deg)

        @cached(LRUCache(2 * (count + 1)), key=attrgetter("name"))
        def tensors(view: View) -> DepthTensors:
            one = solid_maps.load(view)
            depth = one.required_depth
            return DepthTensors.of(view, depth.values, depth.valid, device, one.confidence)

        return cls(views, solid_maps, valid_pixels, neighbours, tensors)

    def pairs(self) -> Iterator[tuple[DepthTensors, DepthTensors]]:
        """Every map with each of its neighbours."""
        for view, others in zip(self.views, self.neighbours, strict=True):
            for j in others:
                yield self.tensors(view), self.tensors(self.views[j])


def _measured_agreement(compared: _Compared, config: ConsistencyConfig) -> float:
    """Relative difference up to which maps agree: some standard deviations of what one surface shows in two maps."""
    advanced = config.advanced
    pairs = max(sum(map(len, compared.neighbours)), 1)
    median = disagreement(compared.pairs(), min(_SPREAD_SAMPLES, _MOST_SPREAD_SAMPLES // pairs + 1))
    if median is None:
        return advanced.max_agreement
    sigma = MAD_TO_SIGMA * median
    return float(np.clip(advanced.agreement_sigmas * sigma, advanced.min_agreement, advanced.max_agreement))


def _check(
    compared: _Compared, index: int, agreement: float, config: ConsistencyConfig, checked: SceneMaps
) -> ViewConsistency:
    """Write the checked map of one view, and say what became of its pixels."""
    view = compared.views[index]
    this = compared.tensors(view)
    others = [compared.tensors(compared.views[j]) for j in compared.neighbours[index]]
    row, col = this.every(1)
    votes = count_votes(this, row, col, others, agreement, config.advanced.occlusion_tolerance * agreement)
    wanted, confidence = judge(votes, config)
    maps = compared.maps.load(view)
    image = torch.full(maps.weight.shape, _DROPPED, device=row.device)
    image[row, col] = torch.where(wanted, confidence, _DROPPED)
    found = image.cpu().numpy()  # all that is copied of a view, but for two counts
    keep = found != _DROPPED
    checked.save(view, replace(maps.required_depth, valid=keep), np.where(keep, found, 0) * maps.weight)
    total = max(compared.valid_pixels[index], 1)
    unseen, kept = torch.stack([((votes.confirmed + votes.contradicted) == 0).sum(), wanted.sum()]).tolist()
    return ViewConsistency(
        view.name,
        len(others),
        confirmed=(kept - unseen) / total,
        unseen=unseen / total,
        contradicted=(len(row) - kept) / total,
        flying=(total - len(row)) / total,
    )


def judge(votes: Votes, config: ConsistencyConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) which pixels stay, and their confidence in [0, 1].

    The confidence is the mean agreement of the views with a say, closer to ``single_view_confidence`` the
    fewer they are.
    """
    seen = votes.confirmed + votes.contradicted
    enough = votes.confirmed >= torch.clamp(seen, max=config.min_consistent_views)
    keep = enough & (votes.confirmed >= config.min_consistent_ratio * seen)
    confidence = (votes.agreement + _PRIOR * config.advanced.single_view_confidence) / (seen + _PRIOR)
    return keep, confidence


def _warn(reports: Sequence[ViewConsistency]) -> None:
    for report in reports:
        if report.neighbours == 0:
            log.warning("%s overlaps no other view: its depth is kept unchecked", report.name)
    much = [report for report in reports if report.contradicted > _MUCH_CONTRADICTED]
    if much:
        listed = ", ".join(f"{report.name} ({report.contradicted:.0%})" for report in much[:5])
        more = f" and {len(much) - 5} more" if len(much) > 5 else ""
        log.warning(
            "other views contradict much of the depth of %s%s, which is dropped: it is poor there (with --no-mvs the "
            "model's alone), or their poses are",
            listed,
            more,
        )
