"""Matches between photos, verified by two-view geometry, and what they say about the set of photos."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lotus_recon.config import Runtime
from lotus_recon.progress import report
from lotus_recon.sfm.features import thread_count, working_name
from lotus_recon.sfm.pairs import Pairs
from lotus_recon.sfm.shots import Shot

_BLOCK = 200  # pairs between two reports of progress
_CONFIGURATIONS = pycolmap.TwoViewGeometryConfiguration
_NO_BASELINE = (int(_CONFIGURATIONS.PLANAR_OR_PANORAMIC), int(_CONFIGURATIONS.PANORAMIC))


def match(shots: Sequence[Shot], pairs: Pairs, database_path: Path, runtime: Runtime, guided: bool = False) -> None:
    """Match the features of the given pairs and verify them. ``guided`` looks again along the epipolar lines."""
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.num_threads = thread_count(runtime)
    matching.guided_matching = guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = runtime.seed
    pycolmap.set_random_seed(runtime.seed)
    report("matching photos", 0, len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        part = pairs[start : start + _BLOCK]
        lines = [f"{working_name(shots[a])} {working_name(shots[b])}\n" for a, b in part]
        with tempfile.NamedTemporaryFile("w", dir=database_path.parent, prefix=".pairs-", suffix=".txt") as listed:
            listed.writelines(lines)
            listed.flush()
            pairing = pycolmap.ImportedPairingOptions()
            pairing.match_list_path = listed.name
            pycolmap.match_image_pairs(str(database_path), matching, pairing, verification, device=pycolmap.Device.cpu)
        report("matching photos", start + len(part), len(pairs))


@dataclass(frozen=True)
class MatchStatistics:
    """What the database holds after matching. Indices are those of the shots."""

    features: tuple[int, ...]  # per shot
    inliers: dict[tuple[int, int], int]  # verified matches of each pair that has any
    no_baseline: frozenset[tuple[int, int]]  # pairs that one homography explains: rotation only, or one plane
    movement: float  # median shift of verified matches, in longer edges of the photo

    def groups(self) -> list[list[int]]:
        """Shots connected by matches, the largest group first; a shot without any is a group of its own."""
        count = len(self.features)
        rows, cols = np.array(list(self.inliers), np.int64).reshape(-1, 2).T
        graph = coo_matrix((np.ones(len(rows)), (rows, cols)), (count, count))
        _, label = connected_components(graph, directed=False)
        members = [np.flatnonzero(label == value).tolist() for value in np.unique(label)]
        return sorted(members, key=lambda group: (-len(group), group))


def match_statistics(shots: Sequence[Shot], database_path: Path) -> MatchStatistics:
    """Count features and verified matches."""
    database = pycolmap.Database.open(str(database_path))
    features = tuple(database.num_keypoints_for_image(shot.number) for shot in shots)
    keypoints = {shot.number: database.read_keypoints(shot.number)[:, :2] for shot in shots}
    inliers, no_baseline, shifts = {}, set(), []
    for pair_id, geometry in zip(*database.read_two_view_geometries(), strict=True):
        first, second = pycolmap.pair_id_to_image_pair(pair_id)
        matches = geometry.inlier_matches
        if len(matches) == 0:
            continue
        pair = (first - 1, second - 1)
        inliers[pair] = len(matches)
        if int(geometry.config) in _NO_BASELINE:
            no_baseline.add(pair)
        shift = keypoints[first][matches[:, 0]] - keypoints[second][matches[:, 1]]
        shifts.append(np.median(np.linalg.norm(shift, axis=1)) / max(shots[first - 1].working_size))
    database.close()
    movement = float(np.median(shifts)) if shifts else 0.0
    return MatchStatistics(features, inliers, frozenset(no_baseline), movement)
