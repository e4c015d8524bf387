"""Multi-view stereo: photos with their poses in, a depth map and a confidence per view out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.geometry.points import point_errors
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.mvs.agreement import MATCHED
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.mvs.device_choice import search_device
from lotus_recon.mvs.guides import Guide, Guides
from lotus_recon.mvs.passes import Pass
from lotus_recon.mvs.photos import Photos, gray_of
from lotus_recon.mvs.planes import depth_of, resized
from lotus_recon.mvs.results import MvsResult, ViewStereo
from lotus_recon.mvs.scene import StereoScene
from lotus_recon.mvs.sources import Photo, Surface
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE, DenseMap, dense_map
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthKind, DepthMap, NormalMap, Scene, View

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_OUTLIER_RATIO = 0.4  # of the median agreement of all views, below which a view is an outlier
_FEWEST_TO_JUDGE = 4  # views: among fewer nobody can tell who is wrong
_FEWEST_POINTS = 10  # sparse points of a view, at which stereo is compared with what was predicted
# Ratio of their errors from which stereo is no better: with nano 0.01 to 0.04 on sample, fountain, dtu24 and
# castle, with the depth of a sensor in rooms with little texture (hololens_a) 0.9.
_NO_BETTER = 0.4
_KEPT_CONFIDENCE = 0.45  # of predicted depth that is kept: high, but what it does not show is no evidence to carve by
_PASSES = "passes"  # estimates of every pass while the stage runs


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. Every view of the scene gets depth, with an aligned map or without."""

    scene: Scene
    images_dir: Path
    depth_dir: Path  # <stem>.npz with SCENE depth of the views that were aligned
    scored_points: BoolArray  # (P,) sparse points that the report scores
    held_out: bool  # whether the search must not use them
    runtime: Runtime
    prediction_dir: Path | None = None  # <stem>.npz as predicted: normals, and which pixels may have depth
    # By name of the view: median relative error, at held-out points, of its depth aligned by scale and shift only
    predicted_error: Mapping[str, float] = field(default_factory=dict)


def run(inputs: Inputs, config: MvsConfig, out_dir: Path) -> MvsResult:
    """Find the depth of every view; writes ``<stem>.npz`` per view and mvs.json.

    Views of every pass that a killed run left in ``out_dir`` are kept; they must come from the same inputs and options.
    Raises InputError for photos and maps that cannot be read.
    """
    guides = Guides(inputs.depth_dir, inputs.prediction_dir)
    usable = inputs.scene
    if inputs.held_out:
        usable = replace(usable, points=usable.points.where(~inputs.scored_points))
    scene = StereoScene(usable, inputs.images_dir, guides, config)
    passes, seed, device = out_dir / _PASSES, inputs.runtime.seed, search_device(inputs.runtime.device)
    found = _pass(scene, passes / "1", None, seed, device)
    agreements = {i: found.agreement(i) for i in scene.targets}
    excluded = _outlier_views(scene, agreements)
    for number in range(1, config.advanced.passes):
        found = _pass(scene, passes / str(number + 1), found, seed + number, device)
    reports = _Writer(inputs, config, guides, scene, found, out_dir).write(agreements, excluded)
    result = MvsResult(out_dir, inputs.held_out, reports)
    result.save()
    shutil.rmtree(passes, ignore_errors=True)
    return result


def _pass(scene: StereoScene, folder: Path, before: Pass | None, seed: int, device: torch.device | None) -> Pass:
    """Search the depth of all views. What ``folder`` holds already is kept."""
    found = Pass(scene, folder, device)
    targets = scene.targets
    kept = sum(map(found.has, targets))
    if kept:
        log.info("resuming: %d of %d views of this pass are kept", kept, len(targets))
    for index in track(targets, f"multi-view stereo, pass {folder.name}", len(targets)):
        if not found.has(index):
            found.search(index, before, seed)
    return found


def _outlier_views(scene: StereoScene, agreements: Mapping[int, float]) -> set[int]:
    """Exclude the views whose depth next to no other view agrees with."""
    if len(agreements) < _FEWEST_TO_JUDGE:
        return set()
    median = float(np.median(list(agreements.values())))
    outliers = {i for i, share in agreements.items() if share < _OUTLIER_RATIO * median}
    for index in sorted(outliers):
        scene.exclude(index)
        log.warning(
            "%s is excluded as an outlier view: other views agree with %.0f %% of what it shows (median of this scene: "
            "%.0f %%); its pose is wrong, or the scene has changed",
            scene.views[index].name,
            100 * agreements[index],
            100 * median,
        )
    return outliers


class _Writer:
    """Writes the final maps, and says what became of each view."""

    def __init__(
        self, inputs: Inputs, config: MvsConfig, guides: Guides, scene: StereoScene, found: Pass, out_dir: Path
    ) -> None:
        self._inputs, self._config, self._guides, self._scene, self._found = inputs, config, guides, scene, found
        self._photos, self._maps = Photos(inputs.images_dir, 0, 1), SceneMaps(out_dir)
        self._keeps_aligned = self._is_no_better()

    def _is_no_better(self) -> bool:
        """Whether matched depth is little better than what was predicted: that of a depth sensor, say."""
        ratios = []
        for index in self._scene.targets:
            view = self._scene.views[index]
            predicted = self._inputs.predicted_error.get(view.name)
            if predicted is None:
                continue
            surface = self._surface(index, view)
            depth = np.where(surface.certainty >= MATCHED, depth_of(surface.planes), 0)
            _, errors = point_errors(self._inputs.scene, index, depth, self._inputs.scored_points)
            if len(errors) >= _FEWEST_POINTS:
                ratios.append(float(np.median(errors)) / max(predicted, 1e-9))
        if not ratios or np.median(ratios) < _NO_BETTER:
            return False
        log.warning(
            "comparing photos is little better than the predicted depth here (error ratio %.2f at sparse points): "
            "aligned depth is kept",
            np.median(ratios),
        )
        return True

    def write(self, agreements: Mapping[int, float], excluded: set[int]) -> tuple[ViewStereo, ...]:
        """All views, in the order of the scene."""
        reports = []
        for index, view in enumerate(track(self._scene.views, "completing depth", len(self._scene.views))):
            report = ViewStereo(view.name, "excluded", agreement=agreements.get(index))
            if index not in excluded:
                report = self._view(index, view, report)
            reports.append(report)
        return tuple(reports)

    def _view(self, index: int, view: View, report: ViewStereo) -> ViewStereo:
        guide = self._guides.guide(view)
        if guide.depth is not None and self._keeps_aligned:
            report, dense = replace(report, status="aligned"), _as_aligned(guide.depth, _KEPT_CONFIDENCE)
        elif self._found.has(index):
            dense = self._dense(index, view, guide)
            report = self._matched(report, index, guide, dense)
        else:
            report = replace(report, status="no_sources")
            fate = "gets no depth" if guide.depth is None else "keeps its aligned depth"
            log.warning("%s %s: no photo sees the same from another place", view.name, fate)
            if guide.depth is None:
                return report
            dense = _as_aligned(guide.depth, FILLED_CONFIDENCE)
        normals, known = normals_from_depth(dense.depth, dense.depth > 0, view.camera)
        depth = DepthMap(dense.depth, dense.depth > 0, DepthKind.SCENE)
        self._maps.save(view, depth, dense.confidence, NormalMap(normals, known))
        return self._scored(report, index, guide, dense)

    def _matched(self, report: ViewStereo, index: int, guide: Guide, dense: DenseMap) -> ViewStereo:
        allowed = max(int(guide.allowed.sum()), 1)
        return replace(
            report,
            status="matched",
            sources=len(self._scene.sources_of(index)),
            matched=float(dense.matched.sum() / allowed),
            filled=float(((dense.depth > 0) & ~dense.matched).sum() / allowed),
            background=float(dense.background.sum() / allowed),
        )

    def _surface(self, index: int, view: View) -> Surface:
        """What the search found of a view, at the size of its camera."""
        surface, (width, height) = self._found.surface(index), view.camera.size
        certainty = cv2.resize(surface.certainty, (width, height), interpolation=cv2.INTER_NEAREST)
        return Surface(resized(surface.planes, height, width), np.asarray(certainty, np.float32))

    def _dense(self, index: int, view: View, guide: Guide) -> DenseMap:
        """The final map of a view, at the size of its camera."""
        rgb = self._photos.rgb(view)
        return dense_map(
            rgb,
            Photo(gray_of(rgb), view.camera, view.cam_from_world),
            self._surface(index, view),
            guide,
            self._scene.photos(index)[1],
            [self._found.surface(j) for j in self._scene.sources_of(index)],
            self._config.background,
        )

    def _scored(self, report: ViewStereo, index: int, guide: Guide, dense: DenseMap) -> ViewStereo:
        scene, scored = self._inputs.scene, self._inputs.scored_points
        _, after = point_errors(scene, index, dense.depth, scored)
        if len(after):
            median, p90 = np.percentile(after, [50, 90]).tolist()
            report = replace(report, points=len(after), median_after=median, p90_after=p90)
        before: NDArray[np.float64] = (
            np.zeros(0) if guide.depth is None else point_errors(scene, index, guide.depth, scored)[1]
        )
        if len(before):
            median, p90 = np.percentile(before, [50, 90]).tolist()
            report = replace(report, median_before=median, p90_before=p90)
        return report


def _as_aligned(depth: NDArray[np.float32], confidence: float) -> DenseMap:
    """Aligned depth as it is."""
    return DenseMap(depth, np.where(depth > 0, np.float32(confidence), np.float32(0)), np.zeros(depth.shape, bool))
