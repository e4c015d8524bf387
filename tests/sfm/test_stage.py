"""The stage as a whole on rendered photos, and its messages on photos that cannot be solved."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pycolmap
import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError, SfmError
from lotus_recon.evaluation.metrics import pose_metrics
from lotus_recon.io.cameras import SourceCamera, read_colmap_scene
from lotus_recon.io.images import list_photos
from lotus_recon.io.transforms import write_transforms
from lotus_recon.sfm.config import SfmConfig
from lotus_recon.sfm.database import FeatureFolder, working_name
from lotus_recon.sfm.features import extract_features
from lotus_recon.sfm.images import images_with_priors
from lotus_recon.sfm.stage import Inputs, SfmResult, run
from lotus_recon.sfm.undistortion import reprojection_errors
from tests.sfm.helpers import poses_of, render_photos

VIEWS = 8


def textured(seed: int = 0, size: tuple[int, int] = (400, 300)) -> np.ndarray:
    """(H, W, 3) noise of several scales: full of features."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.uniform(0, 255, (size[1] // s, size[0] // s)), size) for s in (4, 8, 16)]
    return np.repeat(np.mean(layers, axis=0).astype(np.uint8)[..., None], 3, axis=2)


def save(folder: Path, name: str, image: np.ndarray) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(folder / name)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out ü").mkdir()
    return tmp_path / "out ü"


def test_one_photo(tmp_path: Path, out: Path) -> None:
    save(tmp_path / "photos", "a.png", textured())
    with pytest.raises(InputError, match=r"2 or more.*pipelines\.single_view"):
        run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), out)


def test_two_different_places(tmp_path: Path, out: Path) -> None:
    save(tmp_path / "photos", "a b.png", textured(1))
    save(tmp_path / "photos", "ü.png", textured(2))
    with pytest.raises(
        SfmError, match=r"none of the 2 photos.*no two photos show the same place.*isolated: a b.png, ü.png"
    ):
        run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), out)


def test_photos_without_texture(tmp_path: Path, out: Path) -> None:
    for i in range(3):
        save(tmp_path / "photos", f"{i}.png", np.full((100, 120, 3), 60 * i, np.uint8))
    with pytest.raises(SfmError, match=r"hardly any features.*fewest: 0 in 0\.png"):
        run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), out)


def test_photos_all_alike(tmp_path: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        save(
            tmp_path / "photos",
            f"{i}.png",
            np.clip(textured() + rng.normal(0, 3, (300, 400, 3)), 0, 255).astype(np.uint8),
        )
    with pytest.raises(SfmError, match=r"all alike.*no baseline.*single_view"):
        run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), out)


@pytest.mark.slow
def test_rotation_without_baseline(tmp_path: Path, out: Path) -> None:
    world = textured(size=(1200, 800))
    K_big, K = (
        np.array([[f, 0, w / 2], [0, f, h / 2], [0, 0, 1.0]]) for f, w, h in ((1000, 1200, 800), (600, 400, 300))
    )
    for i, angle in enumerate(np.radians([-12, -6, 0, 6, 12])):
        R = cv2.Rodrigues(np.array([0.01 * i, angle, 0.0]))[0]
        save(tmp_path / "photos", f"{i}.png", cv2.warpPerspective(world, K @ R @ np.linalg.inv(K_big), (400, 300)))
    with pytest.raises(SfmError, match=r"turned without moving.*Move the camera sideways"):
        run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), out)


def test_masked_features_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg"):
        save(tmp_path / "photos", name, textured())
    mask = np.zeros((300, 400), np.uint8)
    mask[:, 250:] = 255
    PIL.Image.fromarray(mask).save(tmp_path / "mask.png")
    photos = list_photos(tmp_path / "photos")
    config = SfmConfig(sfm_max_size=200)
    images = images_with_priors(photos, config)
    folder = FeatureFolder(tmp_path / "features", images)
    folder.prepare()
    colors = extract_features(folder, {"sub/b.jpg": tmp_path / "mask.png"}, config, Runtime())
    database = pycolmap.Database.open(str(folder.database))
    keypoints = [database.read_keypoints(number) for number in (1, 2)]
    database.close()
    assert keypoints[0][:, 0].min() < 20
    assert len(keypoints[1]) > 20
    assert keypoints[1][:, 0].min() >= 125  # the mask begins at 250 of 400, features are found at half the size
    assert [len(colors[number]) for number in (1, 2)] == [len(points) for points in keypoints]
    assert sorted(path.name for path in folder.path.iterdir()) == ["colors", "database.db"]
    shutil.rmtree(folder.path)
    folder.prepare()
    PIL.Image.fromarray(mask[:200]).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=r"mask\.png is 400x200 pixels, its photo 400x300"):
        extract_features(folder, {"a.png": tmp_path / "mask.png"}, config, Runtime())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pycolmap.Reconstruction]:
    """Photos of a synthetic scene (radial distortion), named with a space and a non-ASCII letter, and the truth."""
    folder = tmp_path_factory.mktemp("rendered") / "photos ä"
    return folder, render_photos(folder, VIEWS)


@pytest.mark.slow
def test_from_scratch(rendered: tuple[Path, pycolmap.Reconstruction], out: Path) -> None:
    folder, truth = rendered
    result = run(Inputs(list_photos(folder)), SfmConfig(max_size=512, focal_px=1200.0), out)
    errors = pose_metrics({v.name: v.cam_from_world for v in result.scene.views}, poses_of(truth))
    assert errors["registered"] == 1.0
    assert errors["position_rms"] < 0.02 * np.linalg.norm(np.ptp(truth_centers(truth), axis=0))
    assert np.mean(result.source_cameras[result.scene.views[0].name].focal_px) == pytest.approx(1280, rel=0.02)
    assert all(max(view.camera.size) == 512 for view in result.scene.views)
    assert np.median(reprojection_errors(result.scene.points, result.scene.views)) < 1
    assert result.report["registered"] == VIEWS
    assert sorted(path.name for path in out.iterdir()) == [".mapped", "database.db", "distorted.json", "sfm.json"]
    database = pycolmap.Database.open(str(out / "database.db"))
    assert sorted(image.name for image in database.read_all_images()) == [view.name for view in result.scene.views]
    database.close()


def truth_centers(truth: pycolmap.Reconstruction) -> np.ndarray:
    return np.array([image.projection_center() for image in truth.images.values()])


@pytest.mark.slow
def test_points_at_known_poses(rendered: tuple[Path, pycolmap.Reconstruction], out: Path) -> None:
    folder, truth = rendered
    camera = SourceCamera.of_colmap(next(iter(truth.cameras.values()))).with_two_focals()
    poses = poses_of(truth)
    write_transforms(out.parent / "transforms.json", dict.fromkeys(poses, camera), poses, str(folder))
    config = SfmConfig(max_size=512, poses=out.parent / "transforms.json", pose_unit="m")
    result = run(Inputs(list_photos(folder)), config, out)
    assert result.scene.metric
    assert len(result.scene.points.xyz) > 100
    for view in result.scene.views:
        np.testing.assert_allclose(view.cam_from_world, poses[view.name], atol=1e-13)
    assert set(result.source_cameras.values()) == {camera}
    true_points = np.array([point.xyz for point in truth.points3D.values()])
    # Each true point is drawn as a blob in a patch; the blob's centre is found, and features of the patch beside it.
    nearest = np.linalg.norm(true_points[:, None] - result.scene.points.xyz, axis=-1).min(1)
    assert np.median(nearest) < 0.003 * np.ptp(true_points, axis=0).max()


def test_given_points_are_used_as_they_are(
    rendered: tuple[Path, pycolmap.Reconstruction], out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, truth = rendered
    (out.parent / "model").mkdir()
    truth.write_text(str(out.parent / "model"))
    for photo in list_photos(folder)[1:]:
        (out.parent / "fewer" / photo.name).parent.mkdir(parents=True, exist_ok=True)
        (out.parent / "fewer" / photo.name).symlink_to(photo.path)
    with pytest.raises(InputError, match="1 of 8 poses"):
        run(Inputs(list_photos(out.parent / "fewer")), SfmConfig(poses=out.parent / "model"), out)
    result = run(Inputs(list_photos(folder)), SfmConfig(poses=out.parent / "model", max_size=512), out)
    assert result.report["points_from"] == "given"
    assert not (out / "database.db").exists()
    assert reprojection_errors(result.scene.points, result.scene.views).max() < 1e-3
    again = SfmResult.load(out)
    assert again.report == json.loads((out / "sfm.json").read_text())
    assert [view.name for view in again.scene.views] == [view.name for view in result.scene.views]
    assert read_colmap_scene(out / ".mapped").views[0].camera == result.scene.views[0].camera


def test_no_triangulation_when_told(rendered: tuple[Path, pycolmap.Reconstruction], out: Path) -> None:
    folder, truth = rendered
    poses = poses_of(truth)
    camera = SourceCamera("PINHOLE", 1024, 768, (1280.0, 1280.0, 512.0, 384.0))
    write_transforms(out.parent / "t.json", dict.fromkeys(poses, camera), poses, str(folder))
    config = SfmConfig(poses=out.parent / "t.json", triangulate=False, max_size=0)
    result = run(Inputs(list_photos(folder)), config, out)
    assert len(result.scene.points.xyz) == 0
    assert result.report["mean_reprojection_error_px"] is None
    assert result.scene.views[0].camera.size == (1024, 768)


def test_unregistered_photos_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, shared: Path) -> None:
    """Three small photos of the fountain and one of nothing."""
    for number in (4, 5, 6):
        image = PIL.Image.open(shared / "data" / "fountain_p11" / "images" / f"{number:04d}.jpg").resize((480, 320))
        save(tmp_path / "photos", f"{number}.png", np.array(image))
    save(tmp_path / "photos", "stray.png", textured(1))
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        result = run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), tmp_path / "out")
    assert result.report["unregistered"] == ["stray.png"]
    assert result.report["isolated"] == ["stray.png"]
    assert "stray.png; 1 of them do not match the others" in caplog.text


def test_photos_may_have_any_numbers_for_names(tmp_path: Path, shared: Path) -> None:
    """Such as those under which COLMAP's database knows other photos meanwhile."""
    for number in (4, 5, 6):
        image = PIL.Image.open(shared / "data" / "fountain_p11" / "images" / f"{number:04d}.jpg").resize((480, 320))
        save(tmp_path / "photos", f"{number - 2:06d}.png", np.array(image))
    (tmp_path / "out").mkdir()
    result = run(Inputs(list_photos(tmp_path / "photos")), SfmConfig(), tmp_path / "out")
    assert [view.name for view in result.scene.views] == ["000002.png", "000003.png", "000004.png"]


def test_working_names_have_no_spaces() -> None:
    from lotus_recon.io.images import Photo
    from lotus_recon.sfm.images import CameraPrior, SfmImage

    prior = CameraPrior(SourceCamera("PINHOLE", 4, 3, (4.0, 4.0, 2.0, 1.5)), has_prior=False, fixed=False)
    assert " " not in working_name(SfmImage(1, Photo(Path("a b.png"), "a b.png"), 4, 3, 1, prior))
