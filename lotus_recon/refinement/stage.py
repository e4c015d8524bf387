"""The refinement stage: aligned depth and photos in, depth at which the photos agree and a confidence out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.consistency import SampledDepth, grid_samples
from lotus_recon.geometry.devices import pick_device
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.geometry.points import P90_SIGMAS, point_errors
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.progress import track
from lotus_recon.refinement.config import RefinementConfig
from lotus_recon.refinement.maps import Map, Maps, save_map
from lotus_recon.refinement.matching import SourceDepth, Sources
from lotus_recon.refinement.offsets import Edges
from lotus_recon.refinement.one_view import Level, Prior, Refined, refine, source_agreement
from lotus_recon.refinement.photos import Photos
from lotus_recon.refinement.results import RefinementResult, ViewRefinement
from lotus_recon.refinement.slant import slanted
from lotus_recon.refinement.sources import choose_sources
from lotus_recon.types import BoolArray, NormalMap, Scene, SparsePoints, View

log = logging.getLogger(__name__)

_SAMPLES = 400  # pixels per view that stand for its surface where there are few sparse points
_UNKNOWN_ERROR = 0.05  # relative error of aligned depth that is taken where the alignment measured none
_HIDDEN_RANGES = 2.0  # half widths of the search: a point so far behind a source's aligned surface is hidden by it
_HIDDEN_PX, _TOLERANCE_PX = 6.0, 3.0  # in later passes, in pixels of parallax: hidden; no agreement in depth at all
_OUTLIER_SHARE = 0.4  # of the median agreement of all photos, below which a view is an outlier
_FEWEST_TO_JUDGE = 4  # photos: among fewer nobody can tell who is wrong
_JUDGED_LEVEL = 1  # half size is enough to tell whether photos show the same
_FEWEST_VIEWS = 3  # of a point whose reprojection error tells how good cameras are: two agree on nearly anything
_PASSES = "passes"  # maps of every pass while the stage runs
_KEPT = 3  # photos and maps kept in memory, as a multiple of the sources of one view


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads. ``depth_dir`` holds ``<stem>.npz`` with SCENE depth of the views that were aligned."""

    scene: Scene
    images_dir: Path
    depth_dir: Path
    relative_error: Mapping[str, float]  # by name of the view, where known: 90th percentile of the error of its depth
    scored_points: BoolArray  # (P,) sparse points that the report scores
    held_out: bool  # whether the alignment never used them
    runtime: Runtime
    prediction_dir: Path | None = None  # holds ``<stem>.npz`` with predicted normals, where a view has some
    source_names: frozenset[str] | None = None  # photos to compare with; None: all


def run(inputs: Inputs, config: RefinementConfig, out_dir: Path) -> RefinementResult:
    """Refine every aligned map; writes ``<stem>.npz`` per view and refinement.json.

    Views of every pass that a killed run left in ``out_dir`` are kept; they must come from the same inputs and options.
    Raises InputError for maps that cannot be read.
    """
    refiner = _Refiner(inputs, config)
    passes = out_dir / _PASSES
    before, folder = inputs.depth_dir, passes / "first"
    stats = refiner.one_pass(before, folder, first=True)
    if refiner.drop_outlier_views(stats):
        folder = passes / "first without outlier views"
        stats = refiner.one_pass(before, folder, first=True)
    for number in range(1, config.advanced.passes):
        before, folder = folder, passes / f"later {number}"
        stats = refiner.one_pass(before, folder, first=False)
    result = RefinementResult(out_dir, inputs.held_out, refiner.finish(folder, out_dir, stats))
    result.save()
    shutil.rmtree(passes)
    return result


@dataclass(frozen=True)
class _PassStats:
    """What a pass tells of one view; kept in the meta data of its map."""

    refined: bool  # False: no photo to compare with
    pixels_per_log_depth: float
    mean_score: float
    agreement: Mapping[int, float]  # of each source that could be judged, by its index

    @classmethod
    def load(cls, maps: SceneMaps, view: View) -> _PassStats | None:
        """What a killed run left of a view; None where it left nothing that can be read."""
        try:
            stored = maps.load(view).meta if maps.has(view) else {}
            agreement = {int(index): share for index, share in stored["agreement"].items()}
            return cls(stored["refined"], stored["pixels_per_log_depth"], stored["mean_score"], agreement)
        except (InputError, KeyError):
            return None


class _Refiner:
    """The views of a scene and the photos that they are compared with."""

    def __init__(self, inputs: Inputs, config: RefinementConfig) -> None:
        self.inputs, self.config = inputs, config
        self.device = pick_device(inputs.runtime.device)
        self.kept = _KEPT * (config.advanced.sources + 1)
        self.photos = Photos(inputs.images_dir, config.advanced.refine_size, self.device, self.kept)
        self.aligned = Maps(inputs.depth_dir, self.device, self.kept)
        self.targets = [i for i, view in enumerate(inputs.scene.views) if self.aligned.has(view)]
        if not self.targets:
            raise InputError(f"no aligned depth maps in {inputs.depth_dir} for the {len(inputs.scene.views)} views")
        samples = {i: _samples(self.aligned.map(inputs.scene.views[i])) for i in self.targets}
        chosen = inputs.source_names
        allowed = np.array([chosen is None or view.name in chosen for view in inputs.scene.views])
        self.sources = choose_sources(inputs.scene, samples, allowed, config)
        self.scene_noise_px = _noise_px(inputs.scene.points)
        self.agreement: dict[int, float] = {}  # of each photo with the others
        self.outliers: set[int] = set()

    def search_range(self, view: View) -> float:
        """Half width of the first search."""
        error = self.inputs.relative_error.get(view.name, _UNKNOWN_ERROR)
        return float(
            np.clip(
                self.config.advanced.search_range_factor * error,
                self.config.advanced.min_search_range,
                self.config.advanced.max_search_range,
            )
        )

    def one_pass(self, folder: Path, target: Path, first: bool) -> dict[int, _PassStats]:
        """Refine the maps in ``folder`` and write them to ``target``; those of the ``first`` pass are aligned depth.

        Maps that ``target`` holds already are kept.
        """
        views, finished = self.inputs.scene.views, SceneMaps(target, parts=())
        stored = {i: _PassStats.load(finished, views[i]) for i in self.targets}
        kept = sum(one is not None for one in stored.values())
        if kept:
            log.info("resuming: %d of %d views of this pass are kept", kept, len(stored))
        maps = Maps(folder, self.device, self.kept)
        stats = {}
        for index in track(self.targets, "refining depth" if first else "refining depth again", len(self.targets)):
            stats[index] = stored[index] or self._refine(index, maps, target, first)
        return stats

    def _refine(self, index: int, maps: Maps, target: Path, first: bool) -> _PassStats:
        """Refine one view and write its map."""
        view = self.inputs.scene.views[index]
        own, levels = maps.map(view), self._levels(index)
        if not levels:
            stats = _PassStats(False, 0.0, 0.0, {})
            save_map(target, view, Map(own.depth, torch.zeros_like(own.depth)), meta=asdict(stats))
            return stats
        prior = self._prior(view)
        start = torch.where(prior.known, (own.depth / prior.depth).log(), 0.0) * (not first)
        movement = levels[0].pixels_per_log_depth(prior)
        others = self._source_depth(index, maps, movement, first)
        later_range = self.config.advanced.later_search_range_px / movement
        search_range = self.search_range(view) if first else min(self.search_range(view), later_range)
        refined = refine(levels, prior, start, others, search_range, self._noise_px(levels[0]), self.config)
        stats = self._judged(index, levels, prior, refined, movement)
        moved = torch.where(prior.known, prior.moved(refined.offset).depth, 0.0)
        save_map(target, view, Map(moved, refined.confidence), meta=asdict(stats))
        return stats

    def _levels(self, index: int) -> list[Level]:
        """The photo and its sources, finest first; empty where there is none to compare with."""
        views = self.inputs.scene.views
        sources = self._sources_of(index)
        if not sources:
            return []
        others = [self.photos.pyramid(views[j]) for j in sources]
        own = self.photos.pyramid(views[index])
        depth = min(map(len, [own, *others]))
        return [Level(own[i], Sources.of(views[index], [photo[i] for photo in others])) for i in range(depth)]

    def _prior(self, view: View) -> Prior:
        """The aligned depth, on request with the slant of the predicted normals."""
        depth = self.aligned.map(view).depth
        error = self.inputs.relative_error.get(view.name, _UNKNOWN_ERROR)
        sigma = max(error, self.config.advanced.min_search_range) / P90_SIGMAS
        prior = Prior(torch.where(depth > 0, depth, 1.0), depth > 0, sigma)
        return self._slanted(view, prior) if self.config.advanced.slant_window_px > 0 else prior

    def _noise_px(self, level: Level) -> float:
        """The noise of the scene in pixels of a level."""
        return self.scene_noise_px * level.photo.camera.width / level.photo.view.camera.width

    def _slanted(self, view: View, prior: Prior) -> Prior:
        folder = self.inputs.prediction_dir
        normals = None if folder is None else SceneMaps(folder, parts=("normals",)).normals(view)
        if normals is None:
            return prior
        values = torch.from_numpy(normals.values).to(self.device).movedim(2, 0)
        known = prior.known & torch.from_numpy(normals.valid).to(self.device)
        edges = Edges.of(prior.depth.log(), prior.known, self.config.advanced.edge_width)
        return prior.moved(
            slanted(prior.depth, values, known, view.camera, edges, self.config.advanced.slant_window_px)
        )

    def _sources_of(self, index: int) -> list[int]:
        return [int(j) for j in self.sources[index] if j not in self.outliers]

    def _source_depth(self, index: int, maps: Maps, movement: float, first: bool) -> SourceDepth:
        """What the sources' own maps say: at first only what hides what, later also where the surface is."""
        views = self.inputs.scene.views
        known = [maps.map(views[j]) for j in self._sources_of(index)]
        depths, confidences = [m.depth for m in known], [m.confidence for m in known]
        if first:
            hidden = _HIDDEN_RANGES * self.search_range(views[index])
            return SourceDepth.of(depths, confidences, weight=0.0, tolerance=1.0, hidden=hidden)
        weight = self.config.advanced.geometric_weight
        return SourceDepth.of(depths, confidences, weight, _TOLERANCE_PX / movement, _HIDDEN_PX / movement)

    def _judged(
        self, index: int, levels: Sequence[Level], prior: Prior, refined: Refined, movement: float
    ) -> _PassStats:
        level = levels[min(_JUDGED_LEVEL, len(levels) - 1)]
        shares = source_agreement(level, prior.moved(refined.offset), self.config).tolist()
        agreement = {j: share for j, share in zip(self._sources_of(index), shares, strict=True) if share == share}
        score = float(refined.score[prior.known].mean()) if bool(prior.known.any()) else 0.0
        return _PassStats(True, movement, score, agreement)

    def drop_outlier_views(self, stats: Mapping[int, _PassStats]) -> bool:
        """Exclude the views that show next to nothing of what others show at their poses; whether there are any."""
        shares: dict[int, list[float]] = {}
        for one in stats.values():
            for j, share in one.agreement.items():
                shares.setdefault(j, []).append(share)
        self.agreement = {j: float(np.median(values)) for j, values in shares.items()}
        if len(self.agreement) < _FEWEST_TO_JUDGE:
            return False
        median = float(np.median(list(self.agreement.values())))
        self.outliers = {j for j, share in self.agreement.items() if share < _OUTLIER_SHARE * median}
        for j in sorted(self.outliers):
            log.warning(
                "%s is excluded as an outlier view: it shows %.0f %% of the surface that the other views agree on "
                "(median of this scene: %.0f %%); its pose is wrong or the scene has changed",
                self.inputs.scene.views[j].name,
                100 * self.agreement[j],
                100 * median,
            )
        self.targets = [i for i in self.targets if i not in self.outliers]
        return bool(self.outliers)

    def finish(self, folder: Path, out_dir: Path, stats: Mapping[int, _PassStats]) -> tuple[ViewRefinement, ...]:
        """Write the final maps with normals; what became of each view with a map, in the order of the scene."""
        before, after = Maps(self.inputs.depth_dir, self.device, 1), Maps(folder, self.device, 1)
        reports = []
        for index, view in enumerate(self.inputs.scene.views):
            if index in self.outliers:
                reports.append(ViewRefinement(view.name, "excluded", agreement=self.agreement[index]))
            elif index in stats:
                report, map_ = self._report(index, before.map(view), after.map(view), stats[index])
                reports.append(report)
                normals, known = normals_from_depth(
                    map_.depth.cpu().numpy(), (map_.depth > 0).cpu().numpy(), view.camera
                )
                save_map(out_dir, view, map_, NormalMap(normals, known))
        _warn(reports)
        return tuple(reports)

    def _report(self, index: int, before: Map, after: Map, stats: _PassStats) -> tuple[ViewRefinement, Map]:
        """The report of a view, and its map with the confidence that consistency and fusion weigh it by."""
        view, scene, known = self.inputs.scene.views[index], self.inputs.scene, after.depth > 0
        floor = self.config.advanced.prior_confidence
        map_ = Map(after.depth, torch.where(known, floor + (1 - floor) * after.confidence, 0.0))
        report = ViewRefinement(
            view.name, "refined" if stats.refined else "no_sources", agreement=self.agreement.get(index)
        )
        errors = [
            point_errors(scene, index, m.depth.cpu().numpy(), self.inputs.scored_points)[1] for m in (before, after)
        ]
        if len(errors[0]):
            (median_before, p90_before), (median_after, p90_after) = (
                np.percentile(e, [50, 90]).tolist() for e in errors
            )
            report = replace(
                report,
                points=len(errors[0]),
                median_before=median_before,
                p90_before=p90_before,
                median_after=median_after,
                p90_after=p90_after,
            )
        if not stats.refined or not bool(known.any()):
            return report, map_
        moved = (after.depth[known] / before.depth[known]).log().abs() * stats.pixels_per_log_depth > 1
        return replace(
            report,
            sources=len(self._sources_of(index)),
            search_range=self.search_range(view),
            mean_score=stats.mean_score,
            confident=float((after.confidence[known] > 0.5).float().mean()),
            moved=float(moved.float().mean()),
        ), map_


def _noise_px(points: SparsePoints) -> float:
    """Standard deviation, per coordinate, of what is seen of points beside where the cameras put them; 0 if unknown."""
    seen = points.track_length >= _FEWEST_VIEWS
    if not seen.any():
        return 0.0
    # The mean length of an error in the plane is sqrt(pi/2) sigma; three of 2 n coordinates are fitted to.
    freedom = 1 - 1.5 / points.track_length[seen]
    return float(np.median(points.error_px[seen] / np.sqrt(np.pi / 2 * freedom)))


def _samples(map_: Map) -> SampledDepth:
    depth = map_.depth.cpu().numpy()
    row, col = grid_samples(depth > 0, _SAMPLES)
    return SampledDepth(np.stack([col + 0.5, row + 0.5], axis=1), depth[row, col].astype(np.float64))


def _warn(reports: Sequence[ViewRefinement]) -> None:
    for report in reports:
        if report.status == "no_sources":
            log.warning("%s keeps its aligned depth: no photo sees the same from another place", report.name)
