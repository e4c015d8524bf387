"""The task uncertainty: the error bars of a reconstruction against true depth that did not calibrate them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon import __version__
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import UncertaintyConfig
from lotus_recon.evaluation.run_folder import check_is_run
from lotus_recon.evaluation.sparsification import coverage, sparsification
from lotus_recon.evaluation.tables import markdown
from lotus_recon.evaluation.true_depth import files_of_views, read_true_depth
from lotus_recon.geometry.consistency import grid_samples
from lotus_recon.geometry.points import in_view
from lotus_recon.io.cameras import is_colmap_model, read_colmap_scene
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.progress import track
from lotus_recon.sfm import frame
from lotus_recon.sfm.stage import SfmResult
from lotus_recon.types import View
from lotus_recon.uncertainty.results import UncertaintyResult
from lotus_recon.uncertainty.spec import UNCERTAINTY
from lotus_recon.workspace import write_atomically, write_json

PIXELS = 20_000  # of a depth map that are compared, about

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UncertaintyJob:
    """What is compared."""

    config: UncertaintyConfig
    found: SfmResult
    result: UncertaintyResult
    maps: Mapping[str, Path]  # true depth by name of the view; empty where points are compared
    points: Floats  # (P, 3) true points in the world, which are compared where there are no maps
    seen: Mapping[str, NDArray[np.int64]]  # by name of the view, which of the points it sees


@dataclass(frozen=True, eq=False)
class Compared:
    """N pixels with true depth, of all views."""

    depth: Floats  # (N,) in units of the scene
    truth: Floats  # (N,)
    sigma: Floats  # (N,) relative

    @classmethod
    def joined(cls, parts: Sequence[Compared]) -> Compared:
        """All of several parts."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("depth", "truth", "sigma")))

    @property
    def log_error(self) -> Floats:
        """(N,) relative error, of either sign."""
        return np.asarray(np.log(self.depth / self.truth))


def check_job(config: UncertaintyConfig) -> UncertaintyJob:
    """Read both sides. Raises InputError for missing options, and for files that cannot be used."""
    if config.scene is None or config.reference is None:
        raise InputError("uncertainty needs --scene, an output folder of multi_view, and --reference, true depth")
    check_is_run(config.scene)
    result = UncertaintyResult.load(config.scene / UNCERTAINTY.name)
    found = frame.load(config.scene / "sfm")
    names = [view.name for view in found.scene.views]
    if is_colmap_model(config.reference):
        true = read_colmap_scene(config.reference)
        seen = {view.name: true.points.obs_point[true.points.rows_of(i)] for i, view in enumerate(true.views)}
        if not set(names) & set(seen):
            raise InputError(f"{config.reference} has no view of {config.scene}: names of photos must agree")
        return UncertaintyJob(config, found, result, {}, true.points.xyz, seen)
    maps = files_of_views(config.reference, names)
    return UncertaintyJob(config, found, result, maps, np.zeros((0, 3)), {})


def run_job(job: UncertaintyJob, out: Path) -> dict[str, float]:
    """Compare, and write ``summary.json`` and ``table.md``; the scores."""
    found = compared(job)
    scores = scores_of(found, job.result.calibration.half_sigmas)
    against = "depth maps" if job.maps else "points of a COLMAP model"
    write_json(
        out / "summary.json",
        {
            "task": "uncertainty",
            "against": against,
            "pixels": len(found.depth),
            "calibration": job.result.calibration,
            "unit": "shares of pixels, areas relative to the error of all pixels, width relative to depth",
            "scores": scores,
            "version": __version__,
        },
    )
    rows = [[name, f"{value:.4f}"] for name, value in scores.items()]
    source = f"{job.result.calibration.errors} errors at {job.result.calibration.source}"
    lines = markdown([f"error bars (from {source}) against {against}, {len(found.depth)} pixels", "value"], rows)
    write_atomically(out / "table.md", lambda part: part.write_text("\n".join([*lines, ""]), encoding="utf-8"))
    return scores


def compared(job: UncertaintyJob) -> Compared:
    """All pixels with true depth. Raises InputError when there is none."""
    parts = list(_by_view(job))
    if not sum(len(part.depth) for part in parts):
        raise InputError(f"no pixel of {job.config.scene} has both depth and true depth")
    return Compared.joined(parts)


def scores_of(found: Compared, half_sigmas: float) -> dict[str, float]:
    """By name: coverage and mean width, and the areas of sparsification by AbsRel and by RMSE."""
    error = found.log_error
    absolute = sparsification(np.abs(found.depth / found.truth - 1), found.sigma)
    rmse = sparsification((found.depth - found.truth) ** 2, found.sigma * found.depth, squared=True)
    held = coverage(error, found.sigma, half_sigmas)
    scores = {"coverage_50": held.half, "coverage_90": held.nine_tenths, "mean_width_90": held.mean_width}
    for name, areas in (("abs_rel", absolute), ("rmse", rmse)):
        scores |= {f"{area}_{name}": value for area, value in asdict(areas).items()}
    return scores


def _by_view(job: UncertaintyJob) -> Iterator[Compared]:
    """What is known of each view."""
    assert job.config.scene is not None  # by check_job
    checked = SceneMaps(job.config.scene / "consistency", ("depth",), POSED_DEPTH)
    bars = SceneMaps(job.result.folder, ("sigma",))
    views = [view for view in job.found.scene.views if checked.has(view) and bars.has(view)]
    for view in track(views, "scoring views", len(views)):
        if view.name not in job.maps and view.name not in job.seen:
            continue
        depth, sigma = checked.load(view).depth_or_zero, bars.load(view).sigma
        assert sigma is not None  # the stage wrote it
        row, col, truth = _true_pixels(job, view)
        known = (depth[row, col] > 0) & (truth > 0)
        at = row[known], col[known]
        yield Compared(depth[at].astype(np.float64), truth[known], sigma[at].astype(np.float64))


def _true_pixels(job: UncertaintyJob, view: View) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Rows, columns (N,) and true depth (N,), in units of the scene, of pixels of a view."""
    if not job.maps:
        _, (row, col), z = in_view(job.points[job.seen[view.name]], view)
        return row, col, z
    depth = read_true_depth(job.maps[view.name], view, job.found, job.config.metres_per_unit)
    row, col = grid_samples(depth.valid, PIXELS)
    return row, col, depth.values[row, col].astype(np.float64)
