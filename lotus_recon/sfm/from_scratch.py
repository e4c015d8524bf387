"""Reconstruction without given poses: fallback settings while photos are not registered; the best model is refined.

1. ``normal``: COLMAP's settings.
2. ``relaxed``: the initial pair may have half the baseline angle and matches, images register with fewer matches.
3. ``most relaxed``: a quarter of the angle; points seen by two images only, under small angles, are kept.
4. ``more features``: features of a third of the contrast, matched a second time along epipolar lines, then as 3.

Settings 2 and 3 are tried while images that match others are not registered (of 20 and more: over 5 %). Settings 4,
which cost as much as the whole run before, are tried only while half of the images are not registered and the camera
did move. A model is kept when it has more images than those before. The global mapper takes 1 and 4 only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import SfmError
from lotus_recon.io.cameras import PosedPhotos
from lotus_recon.sfm.bundle_adjustment import refine
from lotus_recon.sfm.diagnosis import (
    component_names,
    components,
    group_name,
    has_baseline,
    isolated,
    some,
    turned_on_the_spot,
    why_no_depth,
    why_no_model,
)
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.job import Job, Matched, Solution, fill_database, in_source_pixels
from lotus_recon.sfm.judgement import component_images, doubts_of
from lotus_recon.sfm.mapping import Settings, is_sound, map_photos
from lotus_recon.sfm.matching import MatchStatistics

log = logging.getLogger(__name__)

_ENOUGH = 0.95  # share of the photos that match others, of sets of 20 and more

_NORMAL = Settings("normal")
_RELAXED = Settings(
    "relaxed", mapper={"init_min_num_inliers": 50, "init_min_tri_angle": 8.0, "abs_pose_min_num_inliers": 20}
)
_MOST_RELAXED = Settings(
    "most relaxed",
    mapper={
        "init_min_num_inliers": 25,
        "init_min_tri_angle": 4.0,
        "abs_pose_min_num_inliers": 15,
        "abs_pose_min_inlier_ratio": 0.15,
        "filter_min_tri_angle": 0.5,
    },
    triangulation={"min_angle": 0.5, "ignore_two_view_tracks": False},
)


def solve_from_scratch(job: Job) -> Solution:
    """Cameras, poses and points of the photos, and figures for the report.

    Raises SfmError, which says why and what to try, when fewer than ``min_registered`` photos are registered or all
    were taken from one point, and InputError for a component that there is not.
    """
    best = _with_fallbacks(job)
    registered = _registered(best.model)
    if best.model is None or registered < max(2, job.config.advanced.min_registered):
        raise SfmError(why_no_model(job.names, best.matched.statistics, registered))
    statistics = best.matched.statistics.within(number - 1 for number in best.model.reg_image_ids())
    _refuse_turned(job, statistics)
    fixed = {image.camera_number for image in job.images if image.prior.fixed}
    refined = refine(best.model, fixed, job.config, job.runtime)
    if not is_sound(refined.model):
        raise SfmError(why_no_model(job.names, best.matched.statistics))
    photos = in_source_pixels(refined.model, job.images, best.matched.colors)
    doubts = [*doubts_of(refined.model, job.images, statistics), *_unregistered(job, photos, best)]
    for doubt in doubts:
        log.warning("%s", doubt)
    if best.settings not in (_NORMAL.name, _RELAXED.name):
        log.warning(
            "the photos were registered only with fallback settings %r (few matches, or small angles): their poses may "
            "be wrong; take more photos from between these",
            best.settings,
        )
    figures = {
        **best.matched.figures(job),
        "mapper": job.config.mapper,
        "settings": best.settings,
        "doubts": doubts,
        "components": components(job.names, best.matched.statistics),
        "refined_intrinsics": {str(camera): what for camera, what in sorted(refined.intrinsics.items())},
        "median_error_before_refinement_px": refined.error_before_px,
        "median_error_after_refinement_px": refined.error_after_px,
    }
    return Solution(photos, figures, best.matched.folder)


@dataclass(frozen=True)
class _Attempt:
    model: pycolmap.Reconstruction | None
    settings: str
    matched: Matched


def _with_fallbacks(job: Job) -> _Attempt:
    """The best model over the normal and the fallback settings."""
    matched = fill_database(job)
    images = component_images(job.images, matched.statistics, job.config.component)
    _refuse_turned(job, matched.statistics.within(image.number - 1 for image in images))
    best = _Attempt(None, "", matched)
    for settings in (_NORMAL,) if job.config.mapper == "global" else (_NORMAL, _RELAXED, _MOST_RELAXED):
        best = _better(best, _attempt(job, images, settings, matched))
        if _enough(_registered(best.model), matched.statistics, len(images)):
            break
    if _registered(best.model) < len(images) / 2 and has_baseline(matched.statistics):
        log.warning("only %d of %d photos are registered: finding more features", _registered(best.model), len(images))
        more = fill_database(job, more_features=True)
        images = component_images(job.images, more.statistics, job.config.component)
        best = _better(best, _attempt(job, images, _MOST_RELAXED, more, "more features"))
    return best


def _refuse_turned(job: Job, statistics: MatchStatistics) -> None:
    """Raise SfmError when the matches are those of a camera that did not move: a model of them would be noise."""
    if turned_on_the_spot(statistics):
        raise SfmError(why_no_depth(job.names, statistics))


def _attempt(
    job: Job, images: Sequence[SfmImage], settings: Settings, matched: Matched, name: str | None = None
) -> _Attempt:
    model = map_photos(images, matched.folder.database, settings, job.config, job.runtime)
    log.info("settings %r: %d of %d photos registered", name or settings.name, _registered(model), len(images))
    return _Attempt(model, name or settings.name, matched)


def _better(first: _Attempt, second: _Attempt) -> _Attempt:
    return second if _registered(second.model) > _registered(first.model) else first


def _registered(model: pycolmap.Reconstruction | None) -> int:
    return 0 if model is None else int(model.num_reg_images())


def _enough(registered: int, statistics: MatchStatistics, images: int) -> bool:
    """Whether a model of so many ``images`` is so complete that fallback settings need not be tried."""
    connected = min(images, len(statistics.groups()[0]))
    if connected == 1:
        return True
    return registered >= (connected if connected < 20 else _ENOUGH * connected)


def _unregistered(job: Job, photos: PosedPhotos, best: _Attempt) -> list[str]:
    """What to say of the photos that are not in the model."""
    missing = {name for name in job.names if name not in photos.cameras}
    groups = components(job.names, best.matched.statistics)
    others = [group for group in groups if missing.issuperset(group)]
    told = []
    if others and job.config.component is None:
        told.append(
            f"the photos are {len(groups)} groups that no matches connect: {component_names(groups)}; one is "
            f"reconstructed, with {len(photos.names)} photos; for another, --component '{group_name(others[0])}'"
        )
    missing -= {name for group in others for name in group}
    if missing:
        alone = set(isolated(job.names, best.matched.statistics)) & missing
        why = f"; {len(alone)} of them do not match the others" if alone else ""
        told.append(f"{len(missing)} of {len(job.names)} photos could not be registered: {some(sorted(missing))}{why}")
    return told
