"""The sample scene: what is stored in data/ belongs together, and its predictions are as wrong as its README says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.evaluation.metrics import depth_metrics, normal_metrics, point_to_mesh_distance
from lotus_recon.geometry.camera import unproject
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.io.images import list_photos, read_info, read_rgb, resize_rgb
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.synthetic.predictions import PredictionNoise, noisy_prediction, smooth_field
from lotus_recon.synthetic.renderer import Quality, RayRenderer, SyntheticView
from lotus_recon.synthetic.sample import (
    CAMERA,
    FOCAL_PX,
    photo_names,
    sample_arrangement,
    sample_poses,
    write_sample,
)
from lotus_recon.types import DepthKind

DATA = Path(__file__).resolve().parents[2] / "data" / "sample"
FAST = Quality(samples_per_axis=1, sky_rays=1)


@pytest.fixture(scope="module")
def view() -> SyntheticView:
    return RayRenderer(sample_arrangement(), FAST).render(CAMERA, sample_poses()[4])


def test_every_pixel_of_every_photo_shows_the_room() -> None:
    renderer = RayRenderer(sample_arrangement(), Quality(1, 0))
    for pose in sample_poses():
        assert renderer.render(CAMERA.resized(64, 48), pose).depth.valid.all()


def test_stored_photos_are_what_the_code_renders(view: SyntheticView) -> None:
    photos = list_photos(DATA / "images")
    assert [photo.name for photo in photos] == photo_names()
    stored = read_rgb(photos[4].path)
    assert stored.shape == (480, 640, 3)
    small = [resize_rgb(rgb, 80, 60).astype(float) for rgb in (stored, view.rgb)]
    assert np.abs(small[0] - small[1]).mean() < 8
    info = read_info(photos[4].path)
    assert info.focal_35mm == 32
    assert pytest.approx(32 * 800 / 43.2666, rel=1e-5) == FOCAL_PX


def test_stored_poses_are_those_of_the_code() -> None:
    stored = json.loads((DATA / "truth" / "transforms.json").read_text())
    assert all(frame["fl_x"] == pytest.approx(FOCAL_PX) for frame in stored["frames"])
    for frame, name, pose in zip(stored["frames"], photo_names(), sample_poses(), strict=True):
        assert (DATA / "truth" / frame["file_path"]).resolve() == DATA / "images" / name
        world_from_cam = np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        assert np.allclose(invert_rigid(world_from_cam), pose)


def test_stored_surface_is_what_the_photos_show(view: SyntheticView) -> None:
    points = unproject(view.depth.values, CAMERA)[::16, ::16].reshape(-1, 3)
    in_world = transform(invert_rigid(view.cam_from_world), points)
    assert point_to_mesh_distance(in_world, read_mesh(DATA / "truth" / "mesh.ply")).max() < 1e-4


def test_stored_predictions_are_as_wrong_as_the_readme_says(view: SyntheticView) -> None:
    prediction = load_prediction(DATA / "predictions" / "studio_05.npz")
    assert prediction.depth is not None
    assert prediction.normals is not None
    assert prediction.depth.kind is DepthKind.AFFINE_DISPARITY
    assert "not the output of a network" in prediction.meta["note"]
    everywhere = prediction.depth.valid & prediction.normals.valid
    assert everywhere.all()
    depth = depth_metrics(prediction.depth.values, view.depth.values, everywhere, "affine_disparity")
    assert 0.01 < depth["abs_rel"] < 0.025
    normals = normal_metrics(prediction.normals.values, view.normals.values, everywhere)
    assert 3.5 < normals["rmse"] < 5.5


def test_without_noise_a_stand_in_is_the_truth_up_to_scale_and_shift(view: SyntheticView) -> None:
    none = PredictionNoise(0, 0, 0, 0)
    scales = []
    for seed in (1, 2):
        prediction = noisy_prediction(view, seed, none)
        assert prediction.depth is not None
        assert prediction.normals is not None
        disparity, truth = prediction.depth.values.ravel(), 1 / view.depth.values.ravel()
        scale, shift = np.polyfit(truth, disparity, 1)
        assert np.abs(scale * truth + shift - disparity).max() < 1e-4
        assert np.allclose(prediction.normals.values, view.normals.values, atol=0.03)
        scales.append(scale)
    assert scales[0] != pytest.approx(scales[1], rel=0.01)
    assert min(scales) > 0


def test_noise_has_the_stated_size_and_is_repeatable(view: SyntheticView) -> None:
    first, again, other = (noisy_prediction(view, seed) for seed in (7, 7, 8))
    assert first.depth is not None
    assert again.depth is not None
    assert other.depth is not None
    assert np.array_equal(first.depth.values, again.depth.values)
    assert not np.allclose(first.depth.values, other.depth.values)
    pixel_only = noisy_prediction(view, 7, PredictionNoise(depth_smooth=0, depth_pixel=0.01, normal_smooth_deg=0))
    assert pixel_only.depth is not None
    scores = depth_metrics(pixel_only.depth.values, view.depth.values, view.depth.valid, "affine_disparity")
    assert scores["rmse_log"] == pytest.approx(0.01, rel=0.05)


def test_smooth_field_is_smooth_and_of_unit_size() -> None:
    field = smooth_field((120, 160), 6, np.random.default_rng(0))
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert (field**2).mean() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=1)).max() < 0.3


@pytest.mark.slow
def test_written_sample_has_all_its_parts(tmp_path: Path) -> None:
    write_sample(tmp_path, Quality(1, 0), photos=2)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        "images/studio_01.jpg",
        "images/studio_02.jpg",
        "predictions/studio_01.npz",
        "predictions/studio_02.npz",
        "truth/mesh.ply",
        "truth/transforms.json",
    ]
    stored, written = (load_prediction(root / "predictions/studio_01.npz") for root in (DATA, tmp_path))
    assert stored.depth is not None
    assert written.depth is not None
    assert np.array_equal(stored.depth.values, written.depth.values)
