"""From the pixels that SfM works in to those of the photos as given; points at given poses and their second try."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import PosedPhotos, SourceCamera
from lotus_recon.sfm import job as job_module
from lotus_recon.sfm import triangulation
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import FeatureFolder, working_name
from lotus_recon.sfm.job import Job, Matched, fill_database, in_source_pixels
from lotus_recon.sfm.matching import MatchStatistics
from lotus_recon.types import SparsePoints
from tests.sfm.helpers import HEIGHT, WIDTH, images_of, poses_of, synthesize

FLAT = (1280.0, 1290.0, 530.0, 370.0)


def test_a_model_at_the_working_size_is_that_of_the_larger_photos(tmp_path: Path) -> None:
    """Photos of twice the width and three times the height; their points are seen where their cameras put them."""
    truth = synthesize(tmp_path / "database.db", views=4, params=FLAT, model="PINHOLE", points=60)
    images = [replace(image, width=2 * WIDTH, height=3 * HEIGHT) for image in images_of(truth)]
    for image in images:
        truth.image(image.number).name = working_name(image)
    colors = {i.number: np.full((truth.image(i.number).num_points2D(), 3), 10 * i.number, np.uint8) for i in images}
    found = in_source_pixels(truth, images, colors)
    assert found.names == tuple(image.name for image in images)
    expected = SourceCamera("PINHOLE", 2 * WIDTH, 3 * HEIGHT, (2560.0, 3870.0, 1060.0, 1110.0))
    assert set(found.cameras.values()) == {expected}
    points = found.points
    for index, name in enumerate(found.names):
        own = points.obs_view == index
        in_cam = transform(found.cam_from_world[name], points.xyz[points.obs_point[own]])
        xy = in_cam[:, :2] / in_cam[:, 2:] * expected.params[:2] + expected.params[2:]
        np.testing.assert_allclose(points.obs_xy[own], xy, atol=1e-6)
    seen_by = [10.0 * (points.obs_view[points.obs_point == p] + 1) for p in range(len(points.xyz))]
    np.testing.assert_array_equal(points.rgb[:, 0], [round(float(np.mean(values))) for values in seen_by])


def points_with(observations: int, views: int) -> SparsePoints:
    """As many points, each seen by all views."""
    point, view = (grid.ravel() for grid in np.meshgrid(np.arange(observations), np.arange(views)))
    xy = np.zeros((len(point), 2))
    return SparsePoints(
        np.zeros((observations, 3)), np.zeros((observations, 3), np.uint8), np.zeros(observations), point, view, xy
    )


@pytest.mark.parametrize(
    ("first", "again", "tries", "kept"),
    [(299, 500, [False, True], 500), (299, 200, [False, True], 299), (300, 500, [False], 300)],
)
def test_few_points_at_given_poses_are_looked_for_among_more_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, again: int, tries: list[bool], kept: int
) -> None:
    truth = synthesize(tmp_path / "database.db", views=3, params=FLAT, model="PINHOLE", points=30)
    images = images_of(truth)
    known = PosedPhotos({i.name: i.prior.camera for i in images}, poses_of(truth), SparsePoints.empty())
    monkeypatch.setattr(triangulation, "read_known_poses", lambda *_: known)
    asked: list[bool] = []

    def triangulated(job: Job, known: PosedPhotos, more_features: bool = False) -> tuple[Matched, SparsePoints]:
        asked.append(more_features)
        statistics = MatchStatistics((9, 9, 9), {}, frozenset(), 0.0)
        folder = FeatureFolder(tmp_path / str(more_features), job.images)
        return Matched(folder, "exhaustive", {}, statistics), points_with(again if more_features else first, 3)

    monkeypatch.setattr(triangulation, "_matched_and_triangulated", triangulated)
    job = Job(images, {}, SfmConfig(), Runtime(), tmp_path)
    solution = triangulation.solve_at_poses(job, tmp_path / "transforms.json")
    assert asked == tries
    assert len(solution.photos.points.xyz) == kept
    assert solution.features is not None
    assert solution.features.path == tmp_path / str(kept == again)


def test_one_pose_is_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images_of(synthesize(tmp_path / "database.db", views=2, points=20))[0]
    known = PosedPhotos({image.name: image.prior.camera}, {image.name: np.eye(4)}, SparsePoints.empty())
    monkeypatch.setattr(triangulation, "read_known_poses", lambda *_: known)
    with pytest.raises(InputError, match="poses of 1 photos; needed: 2 or more"):
        triangulation.solve_at_poses(Job([image], {}, SfmConfig(), Runtime(), tmp_path), tmp_path)


@pytest.mark.parametrize(("more", "expected"), [({}, (1.0, False)), ({"more_features": True}, (1 / 3, True))])
def test_more_features_have_less_contrast_and_are_matched_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, bool], expected: tuple[float, bool]
) -> None:
    asked: list[Any] = []

    def extracted(*given: Any) -> dict[int, Any]:
        asked.append(given[-1])
        return {}

    monkeypatch.setattr(job_module, "extract_features", extracted)
    monkeypatch.setattr(job_module, "match", lambda *_, guided: asked.append(guided))
    images = images_of(synthesize(tmp_path / "database.db", views=2, points=20))
    matched = fill_database(Job(images, {}, SfmConfig(), Runtime(), tmp_path), **more)
    assert tuple(asked) == expected
    assert matched.folder.path == tmp_path / ("more_features" if more else "features")


def test_half_of_the_views_decide_whether_points_are_few() -> None:
    points = points_with(10, 3)
    unequal = replace(points, obs_view=np.repeat([0, 1, 2], [24, 4, 2]))
    assert triangulation._observations_per_view(unequal, 3) == 4
    assert triangulation._observations_per_view(unequal, 5) == 2, "views that see none count too"
