"""The stage of ``--fusion normal``: depth maps whose small shapes come from the predicted normals.

Every view's normals are integrated with its aligned (or refined) depth as prior and the sparse points it sees as
anchors: what is large comes from the depth, what is small from the normals. Then the maps of views that see the same
surfaces are drawn together. What comes out has the layout of the aligned depth and goes through the same consistency
check and TSDF.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import pixel_index
from lotus_recon.geometry.consistency import DepthTensors, covisible, disagreement
from lotus_recon.geometry.devices import pick_device
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.geometry.points import point_errors, seen_points
from lotus_recon.integration import IntegrationConfig, IntegrationResult, integrate_normals
from lotus_recon.io.maps import load_prediction, load_weighted_depth, save_weighted_depth
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.normal_integration.consensus import drawn_together
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, Camera, DepthMap, FloatArray, NormalMap, Scene, View
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

REPORT = "integration.json"
_REACHES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # that are tried, as shares of the longer side
_UNKNOWN_REACH = 0.3  # where no views can tell
_TRIAL_PAIRS = 2  # of views
_TRIAL_PX = 300  # longer side of the maps that are tried, at least; they are thinned to it
_COMPARED_PIXELS = 30_000  # of each
_LEFT_ASIDE = 5  # one of so many points
_ENOUGH_POINTS = 100  # in a view, to hold its map better than other views would
_NEIGHBOURS = 8  # views that a view is drawn together with


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads: ``<stem>.npz`` with depth in ``depth_dir`` and with normals in ``prediction_dir``."""

    scene: Scene
    depth_dir: Path
    prediction_dir: Path
    scored_points: BoolArray  # (P,) sparse points that the report scores; they are no anchors
    runtime: Runtime
    every: int = 1  # only every so many-th pixel of every so many-th row is read; the scene is that of these pixels

    def thinned(self) -> Inputs:
        """The same with maps that are small enough to be tried again and again."""
        longer_side = min((max(view.camera.size) for view in self.scene.views), default=1)
        every = max(1, longer_side // _TRIAL_PX)
        return replace(self, scene=_thinned(self.scene, every), every=every)


@dataclass(frozen=True)
class ViewIntegration:
    """How one view was integrated. Errors are |depth of the map / depth of the point - 1| at sparse points."""

    name: str
    status: str  # integrated | no_normals (its depth is kept)
    rounds: int = 0
    converged: bool = True
    torn: float | None = None  # share of the steps between pixels that were not believed
    normals_before_deg: float | None = None  # median angle between the predicted normals and those of the depth
    normals_after_deg: float | None = None
    points: int = 0  # sparse points that were scored
    median_before: float | None = None
    median_after: float | None = None


@dataclass(frozen=True)
class IntegratedViews:
    """The maps in ``folder``: ``<stem>.npz`` with depth, depth_valid, confidence and meta."""

    folder: Path
    integration_scale: float  # that was given or found
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

    Raises InputError when no view has normals, and for maps that cannot be read.
    """
    views = [
        (i, view) for i, view in enumerate(inputs.scene.views) if (inputs.depth_dir / f"{view.stem}.npz").is_file()
    ]
    if not views:
        raise InputError(f"no aligned depth maps in {inputs.depth_dir} for the {len(inputs.scene.views)} views")
    guides = ~inputs.scored_points
    held = _points_per_view(inputs.scene, views, guides) >= _ENOUGH_POINTS
    reach = config.integration_scale or _best_reach(inputs.thinned(), [i for i, _ in views], config, held)
    rounds = config.consensus_iterations if config.consensus_iterations is not None else int(not held)
    config = replace(config, integration_scale=reach)
    found = [_integrated(inputs, i, view, config, guides) for i, view in track(views, "integrate normals", len(views))]
    fixed = [one.how is None for one in found]
    if all(fixed):
        raise InputError(
            "--fusion normal needs predicted normals, and no view has any: name a model that predicts them"
        )
    device = pick_device(inputs.runtime.device)
    maps = [one.map.to(device) for one in found]
    together = drawn_together(maps, covisible(maps, _NEIGHBOURS), fixed, rounds)
    reports = []
    for (index, view), one, after in zip(views, found, together, strict=True):
        reports.append(_written(inputs, index, view, one.how, after.depth.cpu().numpy(), out_dir))
    result = IntegratedViews(out_dir, reach, tuple(reports))
    write_json(out_dir / REPORT, {"integration_scale": reach, "views": reports})
    return result


def _points_per_view(scene: Scene, views: Sequence[tuple[int, View]], points: BoolArray) -> float:
    return float(np.mean([len(seen_points(scene, i, points)[1]) for i, _ in views]))


def _best_reach(inputs: Inputs, indices: Sequence[int], config: NormalIntegrationConfig, by_points: bool) -> float:
    """The reach at which points left aside are met best, or at which views agree best; tried on a few views."""
    views = [(i, inputs.scene.views[i]) for i in indices]
    as_they_are = [DepthTensors.of(view, *_depth_of(inputs, view), torch.device("cpu")) for _, view in views]
    neighbours = covisible(as_they_are, 1)
    pairs = [(i, int(found[0])) for i, found in enumerate(neighbours) if len(found)]
    pairs = pairs[:: -(-len(pairs) // _TRIAL_PAIRS)] if pairs else []
    tried = sorted({i for pair in pairs for i in pair})
    aside = ~inputs.scored_points & (np.arange(len(inputs.scene.points.xyz)) % _LEFT_ASIDE == 0)

    def error(maps: Mapping[int, DepthTensors]) -> float | None:
        """How far maps of the views tried are off."""
        if not by_points:
            return disagreement(((maps[i], maps[j]) for i, j in pairs), _COMPARED_PIXELS)
        found = [point_errors(inputs.scene, views[i][0], maps[i].known_depth, aside)[1] for i in tried]
        return float(np.median(np.concatenate(found))) if sum(map(len, found)) else None

    before = error({i: as_they_are[i] for i in tried})
    if before is None:
        log.warning("no two views tell how far normals can be trusted: --integration-scale %g", _UNKNOWN_REACH)
        return _UNKNOWN_REACH
    guides = ~inputs.scored_points & ~aside if by_points else ~inputs.scored_points
    errors: dict[float, float] = {}
    for reach in track(_REACHES, "try how far normals can be trusted", len(_REACHES)):
        trial = replace(config, integration_scale=reach)
        after = error({i: _integrated(inputs, *views[i], trial, guides).map for i in tried})
        errors[reach] = np.inf if after is None else after
    best = min(errors, key=lambda reach: errors[reach])
    if errors[best] > before:
        log.warning("the depth meets what it is measured by better without its normals: --fusion tsdf may suit better")
    return best


@dataclass(frozen=True, eq=False)
class _Guided:
    """A view with depth, normals, and points that guide them."""

    index: int
    view: View
    depth: DepthMap
    confidence: NDArray[np.float32]
    normals: NormalMap
    anchors: NDArray[np.float64]  # (H, W)

    @classmethod
    def read(cls, inputs: Inputs, index: int, view: View, guides: BoolArray) -> _Guided | None:
        """The view, its anchors the points ``guides`` (P,); None where no pixel has both depth and a normal."""
        depth, confidence, normals = _maps(inputs, view)
        if normals is None or (depth.valid & normals.valid).sum() < 2:
            return None
        return cls(index, view, depth, confidence, normals, _anchors(inputs.scene, index, depth, guides))

    def integrated(self, config: NormalIntegrationConfig) -> IntegrationResult:
        """What the normals make of the depth."""
        return integrated_depth(self.depth, self.confidence, self.normals, self.view.camera, self.anchors, config)


def integrated_depth(
    depth: DepthMap,
    confidence: FloatArray,
    normals: NormalMap,
    camera: Camera,
    anchors: FloatArray | None,
    config: NormalIntegrationConfig,
) -> IntegrationResult:
    """Depth of one view from its normals, with its depth as prior where that is valid; NaN where either is not.

    ``confidence`` (H, W) of the depth; ``anchors`` (H, W) depths of single pixels, NaN elsewhere.
    """
    mask = depth.valid & normals.valid
    own, known = normals_from_depth(depth.values, depth.valid, camera)
    agreement = np.where(known, 1 / (1 + (angle_deg(own, normals.values) / config.advanced.disagreement_deg) ** 2), 0.5)
    return integrate_normals(
        normals.values,
        mask,
        camera.K,
        np.where(mask, depth.values, np.nan),
        confidence * agreement,
        anchors=anchors if anchors is not None and np.isfinite(anchors[mask]).any() else None,
        config=IntegrationConfig(
            prior_length=config.integration_scale or _UNKNOWN_REACH,
            anchor_weight=config.advanced.point_weight,
            max_bad_share=1.0,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Integrated:
    """One view after integration; ``how`` it went is None where there were no normals."""

    map: DepthTensors
    how: _How | None


@dataclass(frozen=True)
class _How:
    rounds: int
    converged: bool
    torn: float


def _integrated(
    inputs: Inputs, index: int, view: View, config: NormalIntegrationConfig, guides: BoolArray
) -> _Integrated:
    """What the normals of a view make of its depth; the points ``guides`` (P,) are its anchors."""
    guided = _Guided.read(inputs, index, view, guides)
    if guided is None:
        return _Integrated(DepthTensors.of(view, *_depth_of(inputs, view), torch.device("cpu")), None)
    depth, normals = guided.depth, guided.normals
    found = guided.integrated(config)
    values = np.where(depth.valid & normals.valid, found.depth, depth.values)
    how = _How(found.rounds, found.converged, float(np.nanmean(found.continuity < 0.5)))
    return _Integrated(DepthTensors.of(view, values, depth.valid, torch.device("cpu")), how)


def _written(
    inputs: Inputs, index: int, view: View, how: _How | None, values: NDArray[np.float32], out_dir: Path
) -> ViewIntegration:
    """Write the depth ``values`` (H, W) of a view, and say how it was integrated."""
    depth, confidence, normals = _maps(inputs, view)
    target = out_dir / f"{view.stem}.npz"
    if how is None or normals is None:
        log.warning("%s has no predicted normals where it has depth: its depth is kept", view.name)
        save_weighted_depth(target, depth, confidence)
        return ViewIntegration(view.name, "no_normals")
    after = DepthMap(np.where(depth.valid, values, 0).astype(np.float32), depth.valid, depth.kind)
    save_weighted_depth(target, after, confidence)
    before_error, after_error = (
        point_errors(inputs.scene, index, np.where(d.valid, d.values, 0), inputs.scored_points)[1]
        for d in (depth, after)
    )
    scored = len(before_error) > 0
    return ViewIntegration(
        view.name,
        "integrated",
        rounds=how.rounds,
        converged=how.converged,
        torn=how.torn,
        normals_before_deg=_median_angle(depth, normals, view),
        normals_after_deg=_median_angle(after, normals, view),
        points=len(before_error),
        median_before=float(np.median(before_error)) if scored else None,
        median_after=float(np.median(after_error)) if scored else None,
    )


def _depth_of(inputs: Inputs, view: View) -> tuple[NDArray[np.float32], BoolArray]:
    depth, _, _ = _maps(inputs, view)
    return depth.values, depth.valid


def _maps(inputs: Inputs, view: View) -> tuple[DepthMap, NDArray[np.float32], NormalMap | None]:
    """Depth, its confidence, and normals where there are some."""
    path = inputs.depth_dir / f"{view.stem}.npz"
    depth, confidence = load_weighted_depth(path)
    if depth is None:
        raise InputError(f"{path} holds no depth")
    stored = inputs.prediction_dir / f"{view.stem}.npz"
    normals = load_prediction(stored).normals if stored.is_file() else None
    if normals is not None and normals.shape != depth.shape:
        raise InputError(f"{stored} has normals of size {normals.shape}, {path} depth of {depth.shape}: must agree")
    some = _some(inputs.every)
    thin_depth = DepthMap(depth.values[some, some], depth.valid[some, some], depth.kind)
    thin_normals = None if normals is None else NormalMap(normals.values[some, some], normals.valid[some, some])
    return thin_depth, confidence[some, some], thin_normals


def _some(every: int) -> slice:
    """The middle of every so many pixels."""
    return slice(every // 2, None, every)


def _thinned(scene: Scene, every: int) -> Scene:
    """The scene as seen by the pixels that ``_some`` leaves."""
    before = every // 2 + 0.5  # centre of the first of them

    def camera(full: Camera) -> Camera:
        width, height = (len(range(size)[_some(every)]) for size in full.size)
        cx, cy = ((at - before) / every + 0.5 for at in (full.cx, full.cy))
        return Camera(width, height, full.fx / every, full.fy / every, cx, cy)

    views = tuple(replace(view, camera=camera(view.camera)) for view in scene.views)
    points = replace(scene.points, obs_xy=(scene.points.obs_xy - before) / every + 0.5)
    return replace(scene, views=views, points=points)


def _anchors(scene: Scene, index: int, depth: DepthMap, usable: BoolArray) -> NDArray[np.float64]:
    """(H, W) z-depth of the ``usable`` (P,) points where the view sees them; NaN elsewhere."""
    xy, z = seen_points(scene, index, usable)
    anchors = np.full(depth.shape, np.nan)
    anchors[pixel_index(xy, *depth.shape)] = np.where(z > 0, z, np.nan)
    return anchors


def _median_angle(depth: DepthMap, normals: NormalMap, view: View) -> float | None:
    own, known = normals_from_depth(depth.values, depth.valid, view.camera)
    both = known & normals.valid
    return float(np.median(angle_deg(own[both], normals.values[both]))) if both.any() else None
