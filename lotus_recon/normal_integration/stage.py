"""The stage ``integration``: depth maps whose small shapes come from the predicted normals.

Every view's normals are integrated with its depth (of stereo, or as aligned) as prior and the sparse points it sees as
control points: what is large comes from the depth, what is small from the normals. Then the maps of views that see the
same surfaces move towards each other. What comes out has the layout of the aligned depth and goes through the same
consistency check and TSDF.

Each step writes one file per view, so that a run continues after the last view that a killed one finished, and no more
than a few maps are in memory.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible
from lotus_recon.geometry.devices import pick_device
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.geometry.points import point_errors, seen_points
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.normal_integration.consensus import moved_to_consensus
from lotus_recon.normal_integration.guided import GuidedView, GuidedViews
from lotus_recon.normal_integration.scale import select_scale
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthMap, NormalMap, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

REPORT = "integration.json"
_WORK = "work"  # folder for what a killed run leaves to the next; removed when the stage is done
_ENOUGH_POINTS = 100  # in a view, to constrain its map better than other views would
_NEIGHBOURS = 8  # views whose maps a map moves towards


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads: ``<stem>.npz`` with depth in ``depth_dir`` and with normals in ``prediction_dir``."""

    scene: Scene
    depth_dir: Path
    prediction_dir: Path
    scored_points: BoolArray  # (P,) sparse points that the report scores; they are no control points
    runtime: Runtime


@dataclass(frozen=True)
class ViewIntegration:
    """How one view was integrated. Errors are |depth of the map / depth of the point - 1| at sparse points."""

    name: str
    status: str  # integrated | no_normals (its depth is kept)
    rounds: int = 0
    converged: bool = True
    discontinuities: float | None = None  # share of the steps between pixels whose edge weight is below one half
    normals_before_deg: float | None = None  # median angle between the predicted normals and those of the depth
    normals_after_deg: float | None = None
    points: int = 0  # sparse points that were scored
    median_before: float | None = None
    median_after: float | None = None


@dataclass(frozen=True)
class IntegratedViews:
    """The maps in ``folder``: ``<stem>.npz`` with depth, depth_valid, confidence and meta."""

    folder: Path
    integration_scale: float  # given or selected, as a share of the longer side of a map
    views: tuple[ViewIntegration, ...]

    @classmethod
    def load(cls, folder: Path) -> IntegratedViews:
        """The result of an earlier run. Raises InputError when integration.json is missing or broken."""
        path = folder / REPORT
        try:
            report: dict[str, Any] = json.loads(path.read_text())
            views = tuple(ViewIntegration(**view) for view in report["views"])
            return cls(folder, float(report["integration_scale"]), views)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a report of integration: {error}") from error


def run(inputs: Inputs, config: NormalIntegrationConfig, out_dir: Path) -> IntegratedViews:
    """Integrate every view that has depth; writes ``<stem>.npz`` per view and integration.json.

    Continues with the files of a killed run of the same inputs and options in ``out_dir``. Raises InputError when no
    view has normals, and for maps that cannot be read.
    """
    guided = GuidedViews(inputs.scene, inputs.depth_dir, inputs.prediction_dir)
    indices = guided.with_depth()
    if not indices:
        raise InputError(f"no aligned depth maps in {inputs.depth_dir} for the {len(inputs.scene.views)} views")
    work = out_dir / _WORK
    by_points = _points_per_view(inputs, indices) >= _ENOUGH_POINTS
    scale = config.integration_scale or _selected_scale(inputs, guided, config, by_points, work / "scale.json")
    integrated = _integrate(inputs, guided, indices, replace(config, integration_scale=scale), work / "integrated")
    rounds = config.consensus_iterations if config.consensus_iterations is not None else int(not by_points)
    views = [inputs.scene.views[i] for i in indices]
    neighbours = _neighbours(views, integrated) if rounds else []
    for number in range(1, rounds + 1):
        integrated = _consensus(views, neighbours, integrated, work / f"consensus_{number}", inputs.runtime)
    reports = [
        _written(inputs, guided, i, integrated, out_dir) for i in track(indices, "write integrated depth", len(indices))
    ]
    shutil.rmtree(work)
    _warn(reports)
    write_json(out_dir / REPORT, {"integration_scale": scale, "views": reports})
    return IntegratedViews.load(out_dir)


def _points_per_view(inputs: Inputs, indices: Sequence[int]) -> float:
    return float(np.mean([len(seen_points(inputs.scene, i, ~inputs.scored_points)[1]) for i in indices]))


def _selected_scale(
    inputs: Inputs, guided: GuidedViews, config: NormalIntegrationConfig, by_points: bool, path: Path
) -> float:
    """The normal integration scale that an earlier run selected, otherwise selected now and written down."""
    if not path.is_file():
        device = pick_device(inputs.runtime.device)
        write_json(path, select_scale(guided, inputs.scored_points, config, by_points, device))
    return float(json.loads(path.read_text()))


def _integrate(
    inputs: Inputs, guided: GuidedViews, indices: Sequence[int], config: NormalIntegrationConfig, folder: Path
) -> SceneMaps:
    """Write the integrated depth of every view; ``meta`` says how it went, nothing where there were no normals."""
    integrated = SceneMaps(folder, ("depth",), ANY_DEPTH, compressed=False)
    for index in track(indices, "integrate normals", len(indices)):
        if not integrated.has(inputs.scene.views[index]):
            depth, stats = _integrated(inputs, guided.load(index), config)
            integrated.save(inputs.scene.views[index], depth, meta=stats)
    if not any(_stats(integrated, inputs.scene.views[i]) for i in indices):
        raise InputError(
            "--fusion normal needs predicted normals, and no view has any: name a model that predicts them"
        )
    return integrated


def _integrated(
    inputs: Inputs, guided: GuidedView, config: NormalIntegrationConfig
) -> tuple[DepthMap, dict[str, float | int | bool]]:
    """The depth that the normals of a view give, and how it went; the depth as it was where there are none."""
    if not guided.can_be_integrated:
        return guided.depth, {}
    result = guided.integrated(inputs.scene, ~inputs.scored_points, config, pick_device(inputs.runtime.device))
    share = float(np.nanmean(result.continuity < 0.5))
    stats = {"rounds": result.rounds, "converged": result.converged, "discontinuities": share}
    return guided.combined(result), stats


def _stats(maps: SceneMaps, view: View) -> dict[str, Any]:
    """How the integration of a view went; empty where there were no normals."""
    meta = SceneMaps(maps.folder, parts=()).load(view).meta
    return {key: value for key, value in meta.items() if key != "kind"}


def _neighbours(views: Sequence[View], maps: SceneMaps) -> list[NDArray[np.int64]]:
    """Per view the views that see most of its map, best first."""
    depths = (one.required_depth for one in maps.stream(views))
    return covisible(views, [coarse_samples(depth.values, depth.valid) for depth in depths], _NEIGHBOURS)


def _consensus(
    views: Sequence[View], neighbours: Sequence[NDArray[np.int64]], maps: SceneMaps, folder: Path, runtime: Runtime
) -> SceneMaps:
    """Write the maps after one iteration of the depth consensus; those without normals stay, and move the others."""
    moved = SceneMaps(folder, ("depth",), ANY_DEPTH, compressed=False)
    device = pick_device(runtime.device)

    @cached(LRUCache(2 * (_NEIGHBOURS + 1)), key=attrgetter("name"))
    def tensors(view: View) -> DepthTensors:
        depth = maps.load(view).required_depth
        return DepthTensors.of(view, depth.values, depth.valid, device)

    for i, view in enumerate(track(views, "multi-view depth consensus", len(views))):
        if moved.has(view):
            continue
        depth, stats = maps.load(view).required_depth, _stats(maps, view)
        if stats:
            after = moved_to_consensus(tensors(view), [tensors(views[j]) for j in neighbours[i]])
            depth = replace(depth, values=after.depth.cpu().numpy())
        moved.save(view, depth, meta=stats)
    return moved


def _written(inputs: Inputs, guided: GuidedViews, index: int, integrated: SceneMaps, out_dir: Path) -> ViewIntegration:
    """Write the final map of a view with its report as ``meta``; what is there already is only read."""
    view, target = inputs.scene.views[index], SceneMaps(out_dir)
    if target.has(view):
        return ViewIntegration(**SceneMaps(out_dir, parts=()).load(view).meta["integration"])
    before, depth = guided.load(index), integrated.load(view).required_depth
    report = _report(inputs, before, depth, _stats(integrated, view))
    target.save(view, depth, before.confidence, meta={"integration": report})
    return report


def _report(inputs: Inputs, before: GuidedView, after: DepthMap, stats: dict[str, Any]) -> ViewIntegration:
    if not stats or before.normals is None:
        return ViewIntegration(before.view.name, "no_normals")
    errors = [
        point_errors(inputs.scene, before.index, np.where(d.valid, d.values, 0), inputs.scored_points)[1]
        for d in (before.depth, after)
    ]
    medians = [float(np.median(error)) if len(error) else None for error in errors]
    return ViewIntegration(
        before.view.name,
        "integrated",
        **stats,
        normals_before_deg=_median_angle(before.depth, before.normals, before.view),
        normals_after_deg=_median_angle(after, before.normals, before.view),
        points=len(errors[0]),
        median_before=medians[0],
        median_after=medians[1],
    )


def _median_angle(depth: DepthMap, normals: NormalMap, view: View) -> float | None:
    own, known = normals_from_depth(depth.values, depth.valid, view.camera)
    both = known & normals.valid
    return float(np.median(angle_deg(own[both], normals.values[both]))) if both.any() else None


def _warn(reports: Sequence[ViewIntegration]) -> None:
    for report in reports:
        if report.status == "no_normals":
            log.warning("%s has no predicted normals where it has depth: its depth is kept", report.name)
