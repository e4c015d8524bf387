"""Undistortion: analytic pictures and points must agree with the pinhole camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from lotus_recon.errors import InputError, SfmError
from lotus_recon.geometry.camera import pixel_centers, project, rays_in_cam
from lotus_recon.geometry.pose import transform
from lotus_recon.io.cameras import PosedPhotos, SourceCamera
from lotus_recon.io.images import Photo, list_photos, read_mask, read_rgb
from lotus_recon.sfm import images_stage
from lotus_recon.sfm.config import UndistortConfig
from lotus_recon.sfm.undistortion import is_identity, pinhole_camera, reprojection_errors, undistort, undistorted_scene
from lotus_recon.types import Scene, SparsePoints, View

W, H = 480, 360
SOURCES = {
    "barrel": SourceCamera("OPENCV", W, H, (400.0, 410.0, 250.0, 170.0, -0.25, 0.05, 0.002, -0.001)),
    "pincushion": SourceCamera("SIMPLE_RADIAL", W, H, (400.0, 250.0, 170.0, 0.2)),
    "fisheye": SourceCamera("OPENCV_FISHEYE", W, H, (250.0, 250.0, 235.0, 185.0, -0.02, 0.001, 0.0, 0.0)),
    "pinhole": SourceCamera("PINHOLE", W, H, (400.0, 410.0, 250.0, 170.0)),
}


def pattern(rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) a smooth picture on the plane z = 1; half a pixel of these cameras changes it by up to 3 grey levels."""
    x, y = rays[..., 0], rays[..., 1]
    waves = [np.sin(17 * x + 5 * y), np.sin(19 * y - 3 * x), np.cos(11 * x) * np.cos(13 * y)]
    return 128 + 110 * np.stack(waves, axis=-1)


def photo_of(source: SourceCamera) -> NDArray[np.uint8]:
    rays = source.rays_of(pixel_centers(source.height, source.width).reshape(-1, 2))
    return np.round(pattern(rays).reshape(source.height, source.width, 3)).astype(np.uint8)


@pytest.mark.parametrize("max_size", [0, 300, 120])
@pytest.mark.parametrize("name", SOURCES)
def test_undistorted_picture_is_what_the_pinhole_sees(name: str, max_size: int) -> None:
    source = SOURCES[name]
    camera = pinhole_camera(source, max_size)
    picture = undistort(photo_of(source), source, camera)
    assert picture.shape == (camera.height, camera.width, 3)
    expected = pattern(rays_in_cam(camera))
    error = np.abs(picture - expected)
    # Averaging over the area of a coarse pixel flattens the pattern a little; a shift would show in the mean too.
    assert error.mean() < (0.8 if max_size != 120 else 2.5)
    assert np.abs((picture - expected).mean()) < 0.3


def test_a_shift_of_half_a_pixel_would_be_noticed() -> None:
    camera = pinhole_camera(SOURCES["barrel"], 300)
    rays = rays_in_cam(camera)
    shifted = rays + np.array([0.5 / camera.fx, 0.0, 0.0])
    assert np.abs(pattern(rays) - pattern(shifted)).mean() > 1.2


@pytest.mark.parametrize("name", SOURCES)
def test_no_pixel_is_blank_and_little_is_lost(name: str) -> None:
    source = SOURCES[name]
    camera = pinhole_camera(source, 0)
    xy = source.xy_of(camera)
    assert xy.min() >= -0.5
    assert xy[..., 0].max() <= W + 0.5
    assert xy[..., 1].max() <= H + 0.5
    # One step larger on each side there would be blank pixels, or the photo itself ends.
    spread = np.ptp(xy.reshape(-1, 2), axis=0)
    assert (spread / (W, H)).max() > 0.97


@pytest.mark.parametrize("max_size", [0, 100, 300, 1000])
def test_longer_edge_is_bounded(max_size: int) -> None:
    for source in SOURCES.values():
        camera = pinhole_camera(source, max_size)
        full = pinhole_camera(source, 0)
        assert max(camera.size) == (min(max_size, max(full.size)) if max_size else max(full.size))
        assert camera.fov_deg == pytest.approx(full.fov_deg)


def test_impossible_distortion_says_what_to_try() -> None:
    source = SourceCamera("OPENCV", W, H, (400.0, 400.0, 240.0, 180.0, -30.0, 900.0, 5.0, 5.0))
    with pytest.raises(SfmError, match="--camera-model"):
        pinhole_camera(source, 0)


def even(*k: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """r (1 + k1 r^2 + k2 r^4 + ...)."""
    return lambda r: r * (1 + sum(c * r ** (2 * i) for i, c in enumerate(k, 1)))


# A camera whose distortion stops growing inside its photo, and the distorted radius of a ray at the tangent r.
FOLDED = {
    "SIMPLE_RADIAL": (SourceCamera("SIMPLE_RADIAL", 500, 500, (260.0, 250.0, 250.0, -0.2)), even(-0.2)),
    "off centre": (SourceCamera("SIMPLE_RADIAL", 600, 400, (200.0, 350.0, 180.0, -0.25)), even(-0.25)),
    "RADIAL": (SourceCamera("RADIAL", 600, 400, (200.0, 300.0, 200.0, -0.3, 0.01)), even(-0.3, 0.01)),
    "two folds": (SourceCamera("RADIAL", 600, 600, (300.0, 300.0, 300.0, -0.5, 0.1)), even(-0.5, 0.1)),
    "OPENCV": (SourceCamera("OPENCV", 960, 540, (400.0, 400.0, 480.0, 270.0, -0.25, 0.02, 0, 0)), even(-0.25, 0.02)),
    "FULL_OPENCV": (
        SourceCamera("FULL_OPENCV", 600, 400, (300.0, 300.0, 300.0, 200.0, -0.1, 0, 0, 0, 0, 0.3, 0, 0)),
        lambda r: r * (1 - 0.1 * r**2) / (1 + 0.3 * r**2),
    ),
    "OPENCV_FISHEYE": (
        SourceCamera("OPENCV_FISHEYE", 640, 480, (277.0, 277.0, 309.0, 248.0, -0.0187, 0.0585, -0.0349, -0.0334)),
        lambda r: even(-0.0187, 0.0585, -0.0349, -0.0334)(np.arctan(r)),
    ),
    "SIMPLE_RADIAL_FISHEYE": (
        SourceCamera("SIMPLE_RADIAL_FISHEYE", 640, 480, (300.0, 320.0, 240.0, -0.25)),
        lambda r: even(-0.25)(np.arctan(r)),
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_a_view_ends_where_its_lens_folds_back(name: str, caplog: pytest.LogCaptureFixture) -> None:
    source, radius = FOLDED[name]
    r = np.linspace(0, 5, 50001)
    limit = r[1:][np.diff(radius(r)) <= 0][0]
    camera = pinhole_camera(source, 0)
    corners = np.array([[0, 0], [camera.width, 0], [0, camera.height], [camera.width, camera.height]])
    tangents = np.linalg.norm((corners - (camera.cx, camera.cy)) / (camera.fx, camera.fy), axis=1)
    assert tangents.max() < 1.002 * limit
    xy = source.xy_of(camera).reshape(-1, 2)
    to_edge = min(xy.min(), (np.array([source.width, source.height]) - xy).min())
    assert tangents.max() > 0.97 * limit or to_edge < 3, "the view is smaller than it need be"
    assert "the undistorted view is limited" in caplog.text
    # No two pixels of a line through the axis show the same place: the distance from it grows.
    axis = np.array(source.with_two_focals().params[2:4])
    for corner in corners:
        line = (camera.cx, camera.cy) + np.linspace(0, 1, 200)[:, None] * (corner - (camera.cx, camera.cy))
        away = np.linalg.norm(source.pixels_of((line - (camera.cx, camera.cy)) / (camera.fx, camera.fy)) - axis, axis=1)
        assert (np.diff(away) > -1e-3).all()


@pytest.mark.parametrize("name", SOURCES)
def test_a_lens_that_does_not_fold_is_not_warned_of(name: str, caplog: pytest.LogCaptureFixture) -> None:
    pinhole_camera(SOURCES[name], 0)
    assert not caplog.text


def test_corners_beyond_90_degrees_do_not_cost_the_view() -> None:
    """The distorted radius is atan(2 r tan(w / 2)) / w (Devernay and Faugeras 2001, eq. 13): no ray has the corners."""
    width, height, focal, w = 640, 480, 300.0, 1.2
    assert w * np.hypot(width, height) / 2 / focal > np.pi / 2
    camera = pinhole_camera(SourceCamera("FOV", width, height, (focal, focal, width / 2, height / 2, w)), 0)
    corner = np.array([camera.width / camera.fx, camera.height / camera.fy]) / 2
    radius = np.hypot(*corner)
    seen = corner * focal * np.arctan(2 * radius * np.tan(w / 2)) / w / radius
    assert (seen <= np.array([width, height]) / 2 + 0.5).all()
    middle = [np.arctan(2 * edge * np.tan(w / 2)) / w * focal for edge in 2 * corner / 2]
    assert (np.array([width, height]) / 2 - middle).min() < 3, "the view is smaller than it need be"


def test_a_lens_that_folds_near_its_axis_is_refused() -> None:
    with pytest.raises(SfmError, match="cannot be removed"):
        pinhole_camera(SourceCamera("SIMPLE_RADIAL", 500, 500, (260.0, 250.0, 250.0, -40.0)), 0)


def test_identity() -> None:
    assert is_identity(SOURCES["pinhole"], pinhole_camera(SOURCES["pinhole"], 0))
    assert not is_identity(SOURCES["pinhole"], pinhole_camera(SOURCES["pinhole"], 100))
    assert not is_identity(SOURCES["barrel"], pinhole_camera(SOURCES["barrel"], 0))


def posed(name: str) -> tuple[PosedPhotos, NDArray[np.float64]]:
    """Two photos that see 200 points exactly; the points."""
    source = SOURCES[name]
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(-1.5, 1.5, (200, 2)), rng.uniform(2, 4, 200)])
    poses = {"a.png": np.eye(4), "b.png": np.eye(4)}
    poses["b.png"][0, 3] = -0.3
    rows = []
    for view, pose in enumerate(poses.values()):
        xy = np.asarray(source.to_colmap().img_from_cam(transform(pose, xyz)))
        rows += [(i, view, *p) for i, p in enumerate(xy) if 0 <= p[0] < W and 0 <= p[1] < H]
    table = np.array(rows)
    points = SparsePoints(
        xyz,
        np.zeros((200, 3), np.uint8),
        np.full(200, 9.0),
        table[:, 0].astype(int),
        table[:, 1].astype(int),
        table[:, 2:],
    )
    return PosedPhotos(dict.fromkeys(poses, source), poses, points), xyz


@pytest.mark.parametrize("name", SOURCES)
def test_observations_move_with_the_pixels(name: str) -> None:
    photos, xyz = posed(name)
    scene = undistorted_scene(photos, 300, metric=False)
    points = scene.points
    assert reprojection_errors(points, scene.views).max() < 1e-3
    assert points.error_px.max() < 1e-3
    assert (points.track_length == 2).all()
    assert set(map(tuple, points.xyz)) <= set(map(tuple, xyz))
    for index, view in enumerate(scene.views):
        seen = {tuple(points.xyz[i]) for i in points.obs_point[points.obs_view == index]}
        xy = project(transform(view.cam_from_world, np.array(sorted(seen))), view.camera)
        assert (xy >= 0).all()
        assert (xy < view.camera.size).all()


def test_points_outside_the_crop_are_dropped() -> None:
    photos, _ = posed("pincushion")
    both = photos.points.track_length == 2
    scene = undistorted_scene(photos, 0, metric=False)
    assert 20 < len(scene.points.xyz) < both.sum()


def run_images(tmp_path: Path, photo: Photo, source: SourceCamera, max_size: int) -> Path:
    view = View(photo.name, pinhole_camera(source, max_size), np.eye(4))
    out = tmp_path / "images"
    out.mkdir(exist_ok=True)
    inputs = images_stage.Inputs([photo], Scene((view,), SparsePoints.empty()), {photo.name: source})
    result = images_stage.run(inputs, UndistortConfig(), out)
    assert [path for path in out.rglob(".*")] == []
    return result.path(view)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".tif", ".webp", ".heic"])
def test_images_are_written_in_the_format_of_their_suffix(tmp_path: Path, suffix: str) -> None:
    source = SOURCES["barrel"]
    photo = Photo(tmp_path / f"ä{suffix}", f"sub folder/ä{suffix}")
    images_stage.save_rgb(photo_of(source), photo.path, 95)
    written = run_images(tmp_path, photo, source, 300)
    camera = pinhole_camera(source, 300)
    error = np.abs(read_rgb(written) - pattern(rays_in_cam(camera)))
    assert error.mean() < 3
    assert written.name == f"ä{suffix}"


def test_a_photo_that_needs_nothing_is_copied(tmp_path: Path) -> None:
    photo = Photo(tmp_path / "a.jpg", "a.jpg")
    images_stage.save_rgb(photo_of(SOURCES["pinhole"]), photo.path, 60)
    written = run_images(tmp_path, photo, SOURCES["pinhole"], 0)
    assert written.read_bytes() == photo.path.read_bytes()


def test_a_rotated_photo_is_written_upright(tmp_path: Path) -> None:
    upright = photo_of(SOURCES["pinhole"])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored turned by 90 degrees
    photo = Photo(tmp_path / "a.png", "a.png")
    Image.fromarray(np.rot90(upright).copy()).save(photo.path, exif=exif)
    written = run_images(tmp_path, photo, SOURCES["pinhole"], 0)
    with Image.open(written) as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    np.testing.assert_array_equal(read_rgb(written), upright)


@pytest.mark.parametrize("name", ["barrel", "pinhole"])
def test_masks_are_undistorted_like_their_photos(name: str, tmp_path: Path) -> None:
    """A border that is straight in space lies where the pinhole camera sees it; what is half masked is not used."""
    source, photo = SOURCES[name], Photo(tmp_path / "b" / "a.jpg", "b/a.jpg")
    images_stage.save_rgb(photo_of(source), photo.path, 60)
    rays = source.rays_of(pixel_centers(H, W).reshape(-1, 2)).reshape(H, W, 3)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.where(rays[..., 0] > 0.1, 255, 0).astype(np.uint8)).save(mask)
    view = View(photo.name, pinhole_camera(source, 300), np.eye(4))
    scene = Scene((view,), SparsePoints.empty())
    inputs = images_stage.Inputs([photo], scene, {photo.name: source}, {photo.name: mask})
    (tmp_path / "images").mkdir()
    result = images_stage.run(inputs, UndistortConfig(), tmp_path / "images")
    used = read_mask(result.mask_path(view), *view.camera.size)
    x, pixel = rays_in_cam(view.camera)[..., 0], 1 / view.camera.fx
    assert not used[x < 0.1].any()
    assert used[x > 0.1 + 3 * pixel].all()
    assert [photo.name for photo in list_photos(tmp_path / "images")] == ["b/a.jpg"], "the mask is no photo"


def test_images_that_exist_are_kept(tmp_path: Path) -> None:
    photo = Photo(tmp_path / "a.png", "a.png")
    images_stage.save_rgb(photo_of(SOURCES["barrel"]), photo.path, 95)
    written = run_images(tmp_path, photo, SOURCES["barrel"], 300)
    time = written.stat().st_mtime_ns
    assert run_images(tmp_path, photo, SOURCES["barrel"], 300).stat().st_mtime_ns == time


def test_a_photo_that_changed_or_is_missing(tmp_path: Path) -> None:
    source = SOURCES["barrel"]
    photo = Photo(tmp_path / "a.png", "a.png")
    images_stage.save_rgb(photo_of(source)[:100], photo.path, 95)
    with pytest.raises(InputError, match="480x100 pixels, its camera 480x360"):
        run_images(tmp_path, photo, source, 0)
    scene = Scene((View("b.png", pinhole_camera(source, 0), np.eye(4)),), SparsePoints.empty())
    with pytest.raises(InputError, match=r"no photo of view 'b\.png'"):
        images_stage.run(images_stage.Inputs([photo], scene, {}), UndistortConfig(), tmp_path)
