"""What every way to solve a set of photos shares: the photos with their options, features and matches, and the way back
from working pixels to pixels of the photos as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.io.cameras import PosedPhotos, posed_photos
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import FeatureFolder, working_name
from lotus_recon.sfm.diagnosis import isolated
from lotus_recon.sfm.features import Colors, extract_features, sift_device
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.kept import KeptFeatures, MadeWith
from lotus_recon.sfm.matching import MatchStatistics, match, match_statistics
from lotus_recon.sfm.pairs import choose_pairs
from lotus_recon.workspace import file_fingerprint, fingerprint, to_plain

_PEAK_FACTOR = 1 / 3  # contrast that a feature must have when more features are wanted, over the normal one


@dataclass(frozen=True)
class Job:
    """Images to solve; ``masks`` are files by photo name. ``folder`` keeps what a killed run can be resumed with,
    ``kept`` what runs with other photos can use (None: nothing)."""

    images: Sequence[SfmImage]
    masks: Mapping[str, Path]
    config: SfmConfig
    runtime: Runtime
    folder: Path
    kept: Path | None = None

    @property
    def names(self) -> list[str]:
        """Names of the photos."""
        return [image.name for image in self.images]


@dataclass(frozen=True)
class Matched:
    """What a filled database holds. ``colors``: (N, 3) of its features, by image number."""

    folder: FeatureFolder
    matcher: str
    colors: Colors
    statistics: MatchStatistics

    def figures(self, job: Job) -> dict[str, Any]:
        """For the report."""
        return {
            "matcher": self.matcher,
            "features_on": sift_device(job.runtime).name,
            "features_median": float(np.median(self.statistics.features)),
            "features_fewest": min(self.statistics.features),
            "matched_pairs": len(self.statistics.inliers),
            "isolated": isolated(job.names, self.statistics),
        }


@dataclass(frozen=True, eq=False)
class Solution:
    """Cameras, poses and points, figures for the report, and the features that were used, if any were."""

    photos: PosedPhotos
    figures: Mapping[str, Any]
    features: FeatureFolder | None


def fill_database(job: Job, more_features: bool = False) -> Matched:
    """Find and match features, as far as a killed run has not done it already.

    Raises InputError for a photo, mask or pairs file that cannot be used.
    """
    folder = FeatureFolder(job.folder / ("more_features" if more_features else "features"), job.images)
    folder.prepare()
    kept, made_with = KeptFeatures(job.kept), _made_with(job, more_features)
    kept.give(folder, made_with)
    factor = _PEAK_FACTOR if more_features else 1.0
    colors = extract_features(folder, job.masks, job.config, job.runtime, factor)
    choice = choose_pairs(job.images, folder.database, job.config, job.runtime.seed)
    match(folder, choice.pairs, job.runtime, guided=more_features)
    kept.keep(folder, made_with)
    return Matched(folder, choice.matcher, colors, match_statistics(folder))


def _made_with(job: Job, more_features: bool) -> MadeWith:
    """What features and matches of the images are computed from."""
    if job.kept is None:
        return MadeWith({}, {}, "")
    how = [pycolmap.__version__, sift_device(job.runtime).name, job.runtime.deterministic, more_features]
    options = [*how, job.config.advanced.max_features, job.config.sfm_max_size]
    masks = {name: file_fingerprint(path) for name, path in job.masks.items()}
    features, cameras = {}, {}
    for image in job.images:
        content = [file_fingerprint(image.photo.path), masks.get(image.name, "no mask"), image.working_size]
        features[image.number] = fingerprint(to_plain([*options, *content]))
        cameras[image.number] = fingerprint(to_plain(image.prior))
    return MadeWith(features, cameras, fingerprint([*how, job.runtime.seed]))


def in_source_pixels(model: pycolmap.Reconstruction, images: Sequence[SfmImage], colors: Colors) -> PosedPhotos:
    """The model with the names, sizes and colours ((N, 3) by image number) of the photos as given."""
    by_name = {working_name(image): image for image in images}
    working = posed_photos(model)
    # Sorted by photo name too: images are numbered in that order.
    registered = [by_name[name] for name in working.names]
    cameras = {s.name: working.cameras[working_name(s)].resized(s.width, s.height) for s in registered}
    poses = {s.name: working.cam_from_world[working_name(s)] for s in registered}
    factor = np.array([(s.width / s.working_size[0], s.height / s.working_size[1]) for s in registered]).reshape(-1, 2)
    points = working.points
    scaled = replace(points, obs_xy=points.obs_xy * factor[points.obs_view], rgb=_point_colors(model, colors))
    return PosedPhotos(cameras, poses, scaled)


def _point_colors(model: pycolmap.Reconstruction, colors: Colors) -> NDArray[np.uint8]:
    """(P, 3) mean colour of the features of each point, in the order of point ids."""
    means = [
        np.mean([colors[e.image_id][e.point2D_idx] for e in point.track.elements], axis=0)
        for _, point in sorted(model.points3D.items())
    ]
    return np.round(np.array(means).reshape(-1, 3)).astype(np.uint8)
