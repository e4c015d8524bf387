"""What a model rests on, in words; which of several groups of photos is mapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.io.images import Photo
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.diagnosis import component_names, components
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.judgement import component_images, doubts_of
from lotus_recon.sfm.mapping import Settings, map_photos
from lotus_recon.sfm.matching import MatchStatistics
from tests.sfm.helpers import images_of, synthesize

NAMES = ["a_0010.jpg", "a_0011.jpg", "a_0012.jpg", "b_1.jpg", "b_2.jpg", "c.jpg"]
STATISTICS = MatchStatistics((900,) * 6, dict.fromkeys([(0, 1), (1, 2), (3, 4)], 50), frozenset(), 0.1)


def named(images: list[SfmImage]) -> list[SfmImage]:
    return [replace(i, photo=Photo(Path(n), n)) for i, n in zip(images, NAMES, strict=True)]


@pytest.fixture
def truth(tmp_path: Path) -> pycolmap.Reconstruction:
    return synthesize(tmp_path / "database.db", views=6, points=150)


def test_groups_are_named_by_what_their_photos_begin_with() -> None:
    groups = components(NAMES, STATISTICS)
    assert groups == [NAMES[:3], NAMES[3:5]]
    assert component_names(groups) == "a_* (3), b_* (2)"
    assert component_names([["x.jpg", "y.jpg"]]) == "x.jpg, ... (2)"


def test_a_stamp_does_not_connect_two_groups() -> None:
    stamped = replace(STATISTICS, inliers={**STATISTICS.inliers, (2, 3): 90}, watermarks=frozenset([(2, 3)]))
    assert components(NAMES, stamped) == components(NAMES, STATISTICS)


@pytest.mark.parametrize(("wanted", "kept"), [("b_*", NAMES[3:5]), ("a_0011.jpg", NAMES[:3]), (None, NAMES)])
def test_the_group_that_was_asked_for(truth: pycolmap.Reconstruction, wanted: str | None, kept: list[str]) -> None:
    images = component_images(named(images_of(truth)), STATISTICS, wanted)
    assert [image.name for image in images] == kept


@pytest.mark.parametrize(("wanted", "why"), [("*", "are of several groups"), ("c.jpg", "match no other photo")])
def test_a_group_that_there_is_not(truth: pycolmap.Reconstruction, wanted: str, why: str) -> None:
    with pytest.raises(InputError, match=rf"{why}; there are: a_\* \(3\), b_\* \(2\)"):
        component_images(named(images_of(truth)), STATISTICS, wanted)


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_only_the_images_that_are_given_are_mapped(tmp_path: Path, mapper: str) -> None:
    truth = synthesize(tmp_path / "database.db", views=6, points=150)
    images = images_of(truth)
    config = SfmConfig(mapper=mapper)  # type: ignore[arg-type]
    model = map_photos(images[:4], tmp_path / "database.db", Settings("normal"), config, Runtime())
    assert model is not None
    assert sorted(model.reg_image_ids()) == [image.number for image in images[:4]]


def test_a_sound_model_has_no_doubts(truth: pycolmap.Reconstruction) -> None:
    assert doubts_of(truth, images_of(truth), STATISTICS) == []


def test_doubts(truth: pycolmap.Reconstruction) -> None:
    images = images_of(truth)
    flat = replace(STATISTICS, no_baseline=frozenset(STATISTICS.inliers))
    assert "one homography explains 100% of the pairs" in doubts_of(truth, images, flat)[0]
    for camera in truth.cameras.values():
        camera.params = [camera.params[0] * 1.5, *camera.params[1:]]
    assert "became 1.50 times what its metadata" in doubts_of(truth, images, STATISTICS)[0]
    unknown = [replace(image, prior=replace(image.prior, has_prior=False)) for image in images]
    assert doubts_of(truth, unknown, STATISTICS) == []
    for camera in truth.cameras.values():
        camera.params = [camera.params[0] * 4, *camera.params[1:]]
    assert "7.50 longer edges, which few lenses have" in doubts_of(truth, unknown, STATISTICS)[0]


def test_a_model_seen_from_nearly_one_point(truth: pycolmap.Reconstruction) -> None:
    centers = {i: truth.image(i).projection_center() for i in truth.reg_image_ids()}
    first = centers[1]
    for image_id in truth.reg_image_ids():
        pose = truth.image(image_id).cam_from_world()
        moved = first + 0.01 * (centers[image_id] - first)
        frame = truth.frame(truth.image(image_id).frame_id)
        frame.rig_from_world = pycolmap.Rigid3d(pose.rotation, -(pose.rotation.matrix() @ moved))
    assert "degrees in the median" in doubts_of(truth, images_of(truth), STATISTICS)[0]
