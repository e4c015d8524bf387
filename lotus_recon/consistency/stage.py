"""The consistency stage: aligned depth in, depth that other views do not contradict and a confidence out."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.errors import InputError
from lotus_recon.geometry.consistency import (
    DepthTensors,
    Votes,
    count_votes,
    covisible,
    disagreement,
)
from lotus_recon.geometry.depth import depth_edges, grazing
from lotus_recon.geometry.devices import pick_device
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.maps import load_weighted_depth, save_weighted_depth
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthKind, DepthMap, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

REPORT = "consistency.json"
_SPREAD_SAMPLES = 2000  # pixels per view that measure how well maps agree
_PRIOR = 1.0  # votes that the confidence of an unseen pixel counts for


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads: ``<stem>.npz`` with SCENE or METRIC depth in ``depth_dir``, where a view has one.

    A ``confidence`` there, as refinement writes it, decides how much a contradiction counts, and goes on into
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
    loaded = _load(inputs)
    if not _wanted(config, loaded[0].depth.kind):
        return _kept_whole(loaded, out_dir)
    device = pick_device(inputs.runtime.device)
    tensors = [
        DepthTensors.of(m.view, m.depth.values, _without_flying(m, config), torch.device("cpu"), m.confidence)
        for m in loaded
    ]
    neighbours = covisible(tensors, config.advanced.check_neighbours, config.advanced.min_parallax_deg)
    agreement = _measured_agreement(tensors, neighbours, config)
    reports = []
    for i, map_ in enumerate(track(loaded, "check depth against other views", len(loaded))):
        others = [tensors[j].to(device) for j in neighbours[i]]
        keep, confidence, report = _checked(map_, tensors[i].to(device), others, agreement, config)
        kept = DepthMap(map_.depth.values, keep, map_.depth.kind)
        save_weighted_depth(out_dir / f"{map_.view.stem}.npz", kept, confidence * map_.confidence)
        reports.append(report)
    _warn(reports)
    result = ConsistencyResult(out_dir, loaded[0].depth.kind, agreement, tuple(reports))
    result.save()
    return result


def _wanted(config: ConsistencyConfig, kind: DepthKind) -> bool:
    if config.check_depth == "auto":
        return kind is not DepthKind.METRIC
    return config.check_depth == "on"


def _kept_whole(loaded: Sequence[_Loaded], out_dir: Path) -> ConsistencyResult:
    """Every valid pixel, with the confidence it has."""
    for one in loaded:
        save_weighted_depth(out_dir / f"{one.view.stem}.npz", one.depth, one.confidence * one.depth.valid)
    views = tuple(ViewConsistency(one.view.name, 0, 0.0, 1.0, 0.0, 0.0) for one in loaded)
    result = ConsistencyResult(out_dir, loaded[0].depth.kind, 0.0, views)
    result.save()
    return result


@dataclass(frozen=True, eq=False)
class _Loaded:
    view: View
    depth: DepthMap
    confidence: NDArray[np.float32]  # (H, W), 1 where the file has none


def _load(inputs: Inputs) -> list[_Loaded]:
    loaded = []
    for view in inputs.scene.views:
        path = inputs.depth_dir / f"{view.stem}.npz"
        depth, confidence = load_weighted_depth(path) if path.is_file() else (None, None)
        if depth is None or confidence is None:
            continue
        if depth.kind not in (DepthKind.SCENE, DepthKind.METRIC):
            raise InputError(f"{path} has {depth.kind.value} depth; allowed: SCENE, METRIC (align it first)")
        if depth.shape != (view.camera.height, view.camera.width):
            raise InputError(f"{path} has depth of size {depth.shape}, its camera {view.camera.size[::-1]}: must agree")
        loaded.append(_Loaded(view, depth, confidence))
    if not loaded:
        raise InputError(f"no aligned depth maps in {inputs.depth_dir} for the {len(inputs.scene.views)} views")
    return loaded


def _without_flying(map_: _Loaded, config: ConsistencyConfig) -> BoolArray:
    """Valid pixels away from depth edges and from surfaces seen edge-on, where there is any confidence."""
    view, depth = map_.view, map_.depth
    normals, known = normals_from_depth(depth.values, depth.valid, view.camera)
    edges = depth_edges(depth.values, depth.valid, config.advanced.edge_jump)
    flat = known & grazing(normals, view.camera, config.advanced.min_grazing_deg)
    return depth.valid & ~edges & ~flat & (map_.confidence > 0)


def _measured_agreement(
    tensors: Sequence[DepthTensors], neighbours: Sequence[NDArray[np.int64]], config: ConsistencyConfig
) -> float:
    """Relative difference up to which maps agree: some standard deviations of what pixels of one surface show."""
    pairs = ((this, tensors[j]) for this, others in zip(tensors, neighbours, strict=True) for j in others)
    median = disagreement(pairs, _SPREAD_SAMPLES)
    if median is None:
        return config.advanced.max_agreement
    sigma = 1.4826 * median
    return float(
        np.clip(config.advanced.agreement_sigmas * sigma, config.advanced.min_agreement, config.advanced.max_agreement)
    )


def _checked(
    map_: _Loaded,
    this: DepthTensors,
    others: Sequence[DepthTensors],
    agreement: float,
    config: ConsistencyConfig,
) -> tuple[BoolArray, NDArray[np.float32], ViewConsistency]:
    """Pixels to keep, their confidence, and the report of one view."""
    row, col = this.every(1)
    votes = count_votes(this, row, col, others, agreement, config.advanced.occlusion_tolerance * agreement)
    wanted, confidence = judge(votes, config)
    shape = map_.depth.shape
    keep, weight = np.zeros(shape, bool), np.zeros(shape, np.float32)
    rows, cols = row.cpu().numpy(), col.cpu().numpy()
    keep[rows, cols] = wanted.cpu().numpy()
    weight[rows, cols] = torch.where(wanted, confidence, 0.0).cpu().numpy()
    total = max(int(map_.depth.valid.sum()), 1)
    unseen = int(((votes.confirmed + votes.contradicted) == 0).sum())
    report = ViewConsistency(
        map_.view.name,
        len(others),
        confirmed=(int(wanted.sum()) - unseen) / total,
        unseen=unseen / total,
        contradicted=int((~wanted).sum()) / total,
        flying=(total - len(rows)) / total,
    )
    return keep, weight, report


def judge(votes: Votes, config: ConsistencyConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) which pixels stay, and their confidence in [0, 1].

    The confidence is the mean agreement of the views with a say, drawn to ``single_view_confidence`` where
    they are few.
    """
    seen = votes.confirmed + votes.contradicted
    enough = votes.confirmed >= torch.clamp(seen, max=config.min_consistent_views)
    keep = enough & (votes.confirmed >= config.min_consistent_ratio * seen)
    confidence = (votes.agreement + _PRIOR * config.advanced.single_view_confidence) / (seen + _PRIOR)
    return keep, confidence


def _warn(reports: Sequence[ViewConsistency]) -> None:
    for report in reports:
        if report.neighbours == 0:
            log.warning("%s shares nothing with another view: its depth is kept unchecked", report.name)
        elif report.confirmed + report.unseen < 0.1:
            log.warning("%s: other views contradict %.0f %% of its depth", report.name, 100 * report.contradicted)
