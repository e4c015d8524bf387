"""Matches between photos, verified by two-view geometry, and what they say about the set of photos."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.durable import full_disk_named
from lotus_recon.progress import report
from lotus_recon.sfm.database import TEMPORARY, FeatureFolder, working_name
from lotus_recon.sfm.features import sift_device, thread_count
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.pairs import Pairs
from lotus_recon.sfm.rotation import RotationFit, fit_rotations
from lotus_recon.types import FloatArray

log = logging.getLogger(__name__)

# Photos are matched in tiles of so many by so many: within a tile each photo's search index is built once. A tile is
# also what a killed run loses at most. 55 pairs of fountain took 11.0 s of processor time in one go, 11.8 s in tiles of
# 50 pairs, 14.0 s in lists of 20.
_TILE = 8
_CONFIGURATIONS = pycolmap.TwoViewGeometryConfiguration
_NO_BASELINE = (int(_CONFIGURATIONS.PLANAR_OR_PANORAMIC), int(_CONFIGURATIONS.PANORAMIC))
_SAMPLED = 200  # matches of a pair, or some more, that stand for all
_WATERMARK = int(_CONFIGURATIONS.WATERMARK)


def match(folder: FeatureFolder, pairs: Pairs, runtime: Runtime, guided: bool = False) -> None:
    """Match and verify those of the pairs that are not yet. ``guided`` looks again along the epipolar lines."""
    matching = pycolmap.FeatureMatchingOptions()
    device = sift_device(runtime)
    matching.use_gpu = device == pycolmap.Device.cuda
    matching.num_threads = thread_count(runtime)
    matching.guided_matching = guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = runtime.seed
    pycolmap.set_random_seed(runtime.seed)
    images, done = folder.images, folder.matched_pairs()
    missing = [(a, b) for a, b in pairs if (images[a].number, images[b].number) not in done]
    kept = len(pairs) - len(missing)
    if kept:
        log.info("the matches of %d of %d pairs are kept", kept, len(pairs))
    report("matching photos", kept, len(pairs))
    for part in in_tiles(missing):
        with tempfile.TemporaryDirectory(dir=folder.path, prefix=TEMPORARY) as temporary, full_disk_named(folder.path):
            listed = Path(temporary, "pairs.txt")
            listed.write_text("".join(f"{working_name(images[a])} {working_name(images[b])}\n" for a, b in part))
            pairing = pycolmap.ImportedPairingOptions()
            pairing.match_list_path = str(listed)
            pycolmap.match_image_pairs(str(folder.database), matching, pairing, verification, device=device)
        kept += len(part)
        report("matching photos", kept, len(pairs))


def in_tiles(pairs: Pairs) -> list[Pairs]:
    """The same pairs in lists of at most _TILE x _TILE that share their photos as far as possible."""
    ordered = sorted(pairs, key=lambda pair: (pair[0] // _TILE, pair[1] // _TILE, pair))
    return [ordered[start : start + _TILE**2] for start in range(0, len(ordered), _TILE**2)]


@dataclass(frozen=True)
class MatchStatistics:
    """What the database holds after matching. Indices are those of the images."""

    features: tuple[int, ...]  # per image
    inliers: dict[tuple[int, int], int]  # verified matches of each pair that has any
    no_baseline: frozenset[tuple[int, int]]  # pairs that one homography explains: rotation only, or one plane
    movement: float  # median shift of verified matches, in longer edges of the photo
    watermarks: frozenset[tuple[int, int]] = frozenset()  # pairs that agree along the border only: a stamp, not a place
    # Positions (N, 2) of some of the verified matches in both images of a place, from the centre, in longer edges.
    matches: Mapping[tuple[int, int], tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def within(self, members: Iterable[int]) -> MatchStatistics:
        """The same of the pairs among some of the images only."""
        kept = set(members)
        pairs = {pair for pair in self.inliers if kept.issuperset(pair)}
        return replace(
            self,
            inliers={pair: count for pair, count in self.inliers.items() if pair in pairs},
            no_baseline=self.no_baseline & pairs,
            watermarks=self.watermarks & pairs,
            matches={pair: xy for pair, xy in self.matches.items() if pair in pairs},
        )

    @functools.cached_property
    def rotation(self) -> RotationFit | None:
        """What rotations about one point leave of the matches; None without any."""
        return fit_rotations(list(self.matches.values()))

    @property
    def places(self) -> list[tuple[int, int]]:
        """The pairs that show one place, as far as features tell."""
        return [pair for pair in self.inliers if pair not in self.watermarks]

    @property
    def flat_share(self) -> float:
        """Share of these pairs that one homography explains."""
        return sum(pair in self.no_baseline for pair in self.places) / max(1, len(self.places))

    def groups(self) -> list[list[int]]:
        """Images connected by matches, the largest group first; an image without any is a group of its own."""
        count = len(self.features)
        rows, cols = np.array(self.places, np.int64).reshape(-1, 2).T
        graph = coo_matrix((np.ones(len(rows)), (rows, cols)), (count, count))
        _, label = connected_components(graph, directed=False)
        members = [np.flatnonzero(label == value).tolist() for value in np.unique(label)]
        return sorted(members, key=lambda group: (-len(group), group))


def match_statistics(folder: FeatureFolder) -> MatchStatistics:
    """Count features and verified matches."""
    images = folder.images
    database = pycolmap.Database.open(str(folder.database))
    features = tuple(database.num_keypoints_for_image(image.number) for image in images)
    keypoints = {image.number: database.read_keypoints(image.number)[:, :2] for image in images}
    inliers, of_kind, shifts, sampled = {}, {}, [], {}
    for pair_id, geometry in zip(*database.read_two_view_geometries(), strict=True):
        first, second = pycolmap.pair_id_to_image_pair(pair_id)
        matches = geometry.inlier_matches
        if len(matches) == 0:
            continue
        pair = (first - 1, second - 1)
        inliers[pair], of_kind[pair] = len(matches), int(geometry.config)
        xy = keypoints[first][matches[:, 0]], keypoints[second][matches[:, 1]]
        shifts.append(np.median(np.linalg.norm(xy[0] - xy[1], axis=1)) / max(images[first - 1].working_size))
        if of_kind[pair] != _WATERMARK:
            step = max(1, len(matches) // _SAMPLED)
            sampled[pair] = _centered(xy[0][::step], images[first - 1]), _centered(xy[1][::step], images[second - 1])
    database.close()
    no_baseline = frozenset(pair for pair, kind in of_kind.items() if kind in _NO_BASELINE)
    watermarks = frozenset(pair for pair, kind in of_kind.items() if kind == _WATERMARK)
    movement = float(np.median(shifts)) if shifts else 0.0
    return MatchStatistics(features, inliers, no_baseline, movement, watermarks, sampled)


def _centered(xy: FloatArray, image: SfmImage) -> NDArray[np.float64]:
    """(N, 2) working pixels (N, 2) from the middle of an image, in longer edges."""
    return np.asarray((xy - np.array(image.working_size) / 2) / max(image.working_size), np.float64)
