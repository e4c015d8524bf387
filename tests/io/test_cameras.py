"""COLMAP models and source cameras against pycolmap itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image  # noqa: F401  must come before pycolmap
import pycolmap
import pytest

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import (
    SourceCamera,
    read_colmap_model,
    read_colmap_scene,
    read_source_cameras,
    write_colmap_scene,
    write_source_cameras,
)
from lotus_recon.types import Camera

# Each model with clearly non-zero distortion, for a 640x480 photo.
MODELS = {
    "SIMPLE_PINHOLE": (500.0, 310.0, 250.0),
    "PINHOLE": (500.0, 510.0, 310.0, 250.0),
    "SIMPLE_RADIAL": (500.0, 310.0, 250.0, -0.1),
    "RADIAL": (500.0, 310.0, 250.0, -0.1, 0.02),
    "OPENCV": (500.0, 510.0, 310.0, 250.0, -0.1, 0.02, 0.001, -0.002),
    "OPENCV_FISHEYE": (500.0, 510.0, 310.0, 250.0, -0.01, 0.002, 0.0, 0.0),
    "SIMPLE_RADIAL_FISHEYE": (500.0, 310.0, 250.0, -0.02),
    "RADIAL_FISHEYE": (500.0, 310.0, 250.0, -0.02, 0.003),
    "SIMPLE_DIVISION": (500.0, 310.0, 250.0, -0.05),
    "SIMPLE_FISHEYE": (500.0, 310.0, 250.0),
}


def synthetic_model(camera_model: str, params: list[float]) -> pycolmap.Reconstruction:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 2, 3, 40
    options.camera_model_id = pycolmap.CameraModelId.__members__[camera_model]
    options.camera_params = params
    pycolmap.set_random_seed(1)
    model = pycolmap.synthesize_dataset(options)
    model.update_point_3d_errors()
    return model


@pytest.fixture(scope="module")
def pinhole_model() -> pycolmap.Reconstruction:
    return synthetic_model("PINHOLE", [1280.0, 1270.0, 500.0, 390.0])


@pytest.mark.parametrize("kind", ["bin", "txt"])
def test_scene_holds_what_the_model_holds(pinhole_model: pycolmap.Reconstruction, tmp_path: Path, kind: str) -> None:
    (pinhole_model.write_binary if kind == "bin" else pinhole_model.write_text)(str(tmp_path))
    scene = read_colmap_scene(tmp_path, metric=True)
    assert scene.metric
    assert [view.name for view in scene.views] == sorted(image.name for image in pinhole_model.images.values())
    for view in scene.views:
        image = pinhole_model.find_image_with_name(view.name)
        np.testing.assert_allclose(view.cam_from_world[:3], image.cam_from_world().matrix(), atol=1e-12)
        np.testing.assert_allclose(view.center_in_world, image.projection_center(), atol=1e-10)
    expected = np.array([point.xyz for _, point in sorted(pinhole_model.points3D.items())])
    np.testing.assert_allclose(scene.points.xyz, expected, atol=1e-12)
    lengths = [point.track.length() for _, point in sorted(pinhole_model.points3D.items())]
    assert scene.points.track_length.tolist() == lengths


def test_observations_are_projections_of_their_points(pinhole_model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    pinhole_model.write_binary(str(tmp_path))
    scene = read_colmap_scene(tmp_path)
    points = scene.points
    for row in range(len(points.obs_view)):
        view = scene.views[points.obs_view[row]]
        in_cam = transform(view.cam_from_world, points.xyz[points.obs_point[row]])
        np.testing.assert_allclose(project(in_cam, view.camera), points.obs_xy[row], atol=1e-6)


def test_scene_round_trip_is_exact_and_repeatable(pinhole_model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    pinhole_model.write_binary(str(tmp_path))
    scene = read_colmap_scene(tmp_path)
    write_colmap_scene(scene, tmp_path / "a")
    write_colmap_scene(scene, tmp_path / "b")
    again = read_colmap_scene(tmp_path / "a")
    for before, after in zip(scene.views, again.views, strict=True):
        assert (before.name, before.camera) == (after.name, after.camera)
        np.testing.assert_allclose(after.cam_from_world, before.cam_from_world, atol=1e-14)
    for name in ("xyz", "rgb", "error_px", "obs_point", "obs_view", "obs_xy"):
        np.testing.assert_array_equal(getattr(again.points, name), getattr(scene.points, name), err_msg=name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_scene_refuses_distortion(tmp_path: Path) -> None:
    synthetic_model("SIMPLE_RADIAL", [1280.0, 512.0, 384.0, 0.05]).write_binary(str(tmp_path))
    with pytest.raises(InputError, match="allowed: PINHOLE"):
        read_colmap_scene(tmp_path)


def test_model_without_points_file(pinhole_model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    pinhole_model.write_text(str(tmp_path))
    (tmp_path / "points3D.txt").unlink()
    photos = read_colmap_model(tmp_path)
    assert len(photos.names) == 6
    assert len(photos.points.xyz) == 0


@pytest.mark.parametrize("content", [None, b"", b"broken"])
def test_broken_model_is_an_input_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        for name in ("cameras", "images", "points3D"):
            (tmp_path / f"{name}.bin").write_bytes(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        read_colmap_model(tmp_path)


def test_selection_keeps_the_observations_of_its_photos(pinhole_model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    pinhole_model.write_binary(str(tmp_path))
    photos = read_colmap_model(tmp_path)
    chosen = photos.select(photos.names[1:4:2])
    for new, old in ((0, 1), (1, 3)):
        np.testing.assert_array_equal(
            chosen.points.obs_xy[chosen.points.obs_view == new], photos.points.obs_xy[photos.points.obs_view == old]
        )


@pytest.mark.parametrize("model", MODELS)
def test_resized_camera_sees_the_same_rays(model: str) -> None:
    camera = SourceCamera(model, 640, 480, MODELS[model])
    xy = np.random.default_rng(0).uniform((0, 0), (640, 480), (50, 2))
    factor = np.array([320 / 640, 250 / 480])  # the sides change by different factors
    np.testing.assert_allclose(camera.resized(320, 250).rays_of(xy * factor), camera.rays_of(xy), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_xy_of_and_rays_of_are_inverse(model: str) -> None:
    source = SourceCamera(model, 640, 480, MODELS[model])
    camera = Camera(64, 48, 60.0, 60.0, 30.0, 25.0)
    xy = source.xy_of(camera)
    np.testing.assert_allclose(project(source.rays_of(xy[10, 20:21]), camera)[0], (20.5, 10.5), atol=1e-3)
    ray = source.ray_of((float(xy[10, 20, 0]), float(xy[10, 20, 1])))
    assert np.linalg.norm(ray) == pytest.approx(1)
    np.testing.assert_allclose(ray / ray[2], source.rays_of(xy[10, 20:21])[0], atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_pinhole_means_no_distortion(model: str) -> None:
    assert SourceCamera(model, 640, 480, MODELS[model]).is_pinhole == model.endswith("PINHOLE")
    straight = SourceCamera("OPENCV", 640, 480, (500.0, 500.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0))
    assert straight.is_pinhole


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("EQUIRECTANGULAR", (640.0, 480.0), "not supported"),
        ("WRONG", (1.0,), "not supported"),
        ("PINHOLE", (500.0, 320.0, 240.0), "takes fx, fy, cx, cy"),
        ("PINHOLE", (500.0, -500.0, 320.0, 240.0), "positive"),
        ("PINHOLE", (500.0, float("nan"), 320.0, 240.0), "finite"),
    ],
)
def test_bad_source_camera(model: str, params: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SourceCamera(model, 640, 480, params)


def test_source_cameras_round_trip(tmp_path: Path) -> None:
    cameras = {f"ä b/{model}.jpg": SourceCamera(model, 640, 480, params) for model, params in MODELS.items()}
    write_source_cameras(cameras, tmp_path / "distorted.json")
    assert read_source_cameras(tmp_path / "distorted.json") == cameras


def test_broken_source_cameras(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"cameras": {"x": {"model": "PINHOLE"}}}))
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            read_source_cameras(tmp_path / name)


def test_real_model_agrees_with_its_camera_list(shared: Path) -> None:
    folder = shared / "data" / "fountain_p11"
    scene = read_colmap_scene(folder / "colmap_gt")
    frames = json.loads((folder / "cameras.json").read_text())["frames"]
    for view, frame in zip(scene.views, frames, strict=True):
        np.testing.assert_allclose(view.cam_from_world, frame["w2c"], atol=1e-6)
        half_pixel = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        np.testing.assert_allclose(view.camera.K, np.array(frame["K"]) + half_pixel)
