"""Mapping and refinement against the synthetic truth of pycolmap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
import pytest

from lotus_recon import progress
from lotus_recon.config import Runtime
from lotus_recon.evaluation.metrics import pose_metrics
from lotus_recon.sfm.bundle_adjustment import Refined, refine
from lotus_recon.sfm.config import AdvancedSfm, SfmConfig
from lotus_recon.sfm.mapping import SNAPSHOTS, Settings, is_sound, map_photos, median_angle_deg
from lotus_recon.viewing.live import scene_so_far
from tests.sfm.helpers import images_of, poses_of, synthesize

TRUE_PARAMS = (1280.0, 1290.0, 530.0, 370.0, 0.03, -0.01, 0.001, -0.001)


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_mapping_finds_the_true_poses(tmp_path: Path, mapper: str) -> None:
    truth = synthesize(tmp_path / "database.db")
    config = SfmConfig(mapper="global" if mapper == "global" else "incremental")
    model = map_photos(images_of(truth), tmp_path / "database.db", Settings("normal"), config, Runtime())
    assert model is not None
    errors = pose_metrics(poses_of(model), poses_of(truth))
    assert errors["registered"] == 1.0
    assert errors["position_max"] < 1e-3
    assert errors["rotation_median_deg"] < 1e-2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["database.db"]


def test_mapping_repeats_bit_for_bit_when_asked(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "database.db", noise_px=0.5)
    runtime = Runtime(seed=5, deterministic=True)
    runs = [
        map_photos(images_of(truth), tmp_path / "database.db", Settings("normal"), SfmConfig(), runtime) for _ in "ab"
    ]
    first, second = (poses_of(run) for run in runs if run is not None)
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_given_intrinsics_are_not_touched(tmp_path: Path, mapper: str) -> None:
    truth = synthesize(tmp_path / "database.db", noise_px=0.5)
    images = images_of(truth, fixed=True)
    config = SfmConfig(mapper="global" if mapper == "global" else "incremental")
    model = map_photos(images, tmp_path / "database.db", Settings("normal"), config, Runtime())
    assert model is not None
    refined = refine(
        model, {images[0].camera_number}, SfmConfig(advanced=AdvancedSfm(refine_principal_point="on")), Runtime()
    )
    for found in (model, refined.model):
        assert found.camera(images[0].camera_number).params.tolist() == [1280.0, 512.0, 384.0, 0.05]


def test_a_model_without_baseline_is_not_sound(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "database.db")
    assert median_angle_deg(truth) > 20
    assert is_sound(truth)
    near = pycolmap.Reconstruction(truth)
    for point_id in list(near.points3D):
        near.point3D(point_id).xyz = near.point3D(point_id).xyz * 1e4
    assert median_angle_deg(near) < 0.1
    assert not is_sound(near)


def refined_from_rough(tmp_path: Path, views: int, config: SfmConfig) -> Refined:
    """Refinement of the true scene, noise 0.3 px, whose camera is only known as SIMPLE_RADIAL with centred axis."""
    model = synthesize(tmp_path / "database.db", views, TRUE_PARAMS, "OPENCV", noise_px=0.3, points=1500)
    camera = next(iter(model.cameras.values()))
    camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
    camera.params = [1270.0, 512.0, 384.0, 0.0]
    rough = refine(model, set(), SfmConfig(advanced=AdvancedSfm(refine_principal_point="off")), Runtime())
    return refine(rough.model, set(), config, Runtime())


def test_refinement_finds_principal_point_and_both_focal_lengths(tmp_path: Path) -> None:
    refined = refined_from_rough(tmp_path, 30, SfmConfig())
    assert set(refined.intrinsics.values()) == {"all"}
    np.testing.assert_allclose(next(iter(refined.model.cameras.values())).params[:4], TRUE_PARAMS[:4], atol=1.5)
    assert refined.error_after_px < 0.6 * refined.error_before_px


def test_distortion_that_the_photos_do_not_show_is_not_refined(tmp_path: Path) -> None:
    # The points keep to the middle of these photos: ten of them do not tell where the corners lie.
    refined = refined_from_rough(tmp_path, 10, SfmConfig())
    assert set(refined.intrinsics.values()) == {"principal point"}
    np.testing.assert_allclose(next(iter(refined.model.cameras.values())).params[:4], TRUE_PARAMS[:4], atol=5)


def test_too_few_views_refine_only_the_focal_length(tmp_path: Path) -> None:
    refined = refined_from_rough(tmp_path, 3, SfmConfig())
    assert set(refined.intrinsics.values()) == {"focal length"}
    camera = next(iter(refined.model.cameras.values()))
    assert (camera.principal_point_x, camera.principal_point_y) == (512.0, 384.0)


def test_refinement_off_leaves_the_principal_point(tmp_path: Path) -> None:
    camera = next(
        iter(
            refined_from_rough(
                tmp_path, 10, SfmConfig(advanced=AdvancedSfm(refine_principal_point="off"))
            ).model.cameras.values()
        )
    )
    assert (camera.principal_point_x, camera.principal_point_y) == (512.0, 384.0)


def test_photos_without_distortion_get_a_camera_without(tmp_path: Path) -> None:
    params = (1280.0, 1290.0, 530.0, 370.0)
    model = synthesize(tmp_path / "database.db", 10, params, "PINHOLE", noise_px=0.3, points=800)
    camera = next(iter(model.cameras.values()))
    camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
    camera.params = [1285.0, 512.0, 384.0, 0.001]
    refined = refine(model, set(), SfmConfig(), Runtime())
    assert set(refined.intrinsics.values()) == {"no distortion"}
    camera = next(iter(refined.model.cameras.values()))
    assert camera.model_name == "PINHOLE"
    np.testing.assert_allclose(camera.params, params, atol=1.5)


def test_a_chosen_camera_model_stays(tmp_path: Path) -> None:
    refined = refined_from_rough(tmp_path, 10, SfmConfig(camera_model="SIMPLE_RADIAL"))
    assert next(iter(refined.model.cameras.values())).model_name == "SIMPLE_RADIAL"


def test_mapping_writes_down_what_is_registered_so_far(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "database.db")
    counts = []

    def look(what: str, done: int, total: int) -> None:
        for snapshot in sorted(tmp_path.glob(f"*/{SNAPSHOTS}/*")):
            counts.append(len(scene_so_far(snapshot).views))

    progress.set_reporter(look)
    try:
        map_photos(images_of(truth), tmp_path / "database.db", Settings("normal"), SfmConfig(), Runtime())
    finally:
        progress.set_reporter(None)
    assert 2 <= min(counts) < max(counts) <= len(images_of(truth)), "cameras that a viewer can show on the way"
