"""Camera and shift of a single view, on a box room that is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.calibration.single_view_camera import SingleView, estimate_camera
from lotus_recon.calibration.smooth_error import correlation_area, smooth_basis
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.normals import angle_deg, facing_camera, normals_from_depth
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap

WIDTH, HEIGHT = 192, 144
DEFAULT = Camera.from_fov_deg(55.0, WIDTH, HEIGHT)
ALL = np.ones((HEIGHT, WIDTH), bool)
RATIO = 5.0
DISPARITY, DEPTH = DepthKind.AFFINE_DISPARITY, DepthKind.AFFINE


def rotation(yaw_deg: float, pitch_deg: float) -> NDArray:
    """Room axes (x right, y down, z forward) in camera axes."""
    (cy, cp), (sy, sp) = np.cos(np.radians([yaw_deg, pitch_deg])), np.sin(np.radians([yaw_deg, pitch_deg]))
    return np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def box_room(camera: Camera) -> tuple[NDArray, NDArray]:
    """z-depth and normals inside a room of 5 x 3 x 6 units with a box on its floor, seen from within."""
    room_from_cam = rotation(25.0, 12.0).T
    rays = rays_in_cam(camera) @ room_from_cam.T
    depth, normals = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape)
    for axis, low, high in ((0, -2.5, 2.5), (1, -1.6, 1.4), (2, -1.5, 4.5)):
        for wall in (low, high):
            distance = wall / rays[..., axis]
            nearer = (distance > 0) & (distance < depth)
            depth = np.where(nearer, distance, depth)
            normals[nearer] = np.eye(3)[axis]
    low_corner, high_corner = np.array([-1.4, 0.4, 2.2]), np.array([0.1, 1.4, 3.4])
    ends = np.sort(np.stack([low_corner / rays, high_corner / rays]), axis=0)
    enters, leaves = ends[0].max(-1), ends[1].min(-1)
    hit = (enters < leaves) & (enters > 0)
    depth = np.where(hit, enters, depth)
    normals[hit] = np.eye(3)[ends[0].argmax(-1)][hit]
    return depth, facing_camera(normals @ room_from_cam, camera)


def estimated(
    values: NDArray, normals: NDArray, kind: DepthKind, camera: Camera = DEFAULT, known: bool = False
) -> SingleView:
    depth = DepthMap(values.astype(np.float32), ALL, kind)
    return estimate_camera(depth, NormalMap(normals.astype(np.float32), ALL), camera, known, RATIO)


def affine(depth: NDArray, kind: DepthKind) -> NDArray:
    return 0.7 / depth - 3.0 if kind is DISPARITY else 0.7 * depth - 3.0


def ratio_of(values: NDArray, shift: float) -> float:
    low, high = np.percentile(values, (2, 98))
    return float((high - shift) / (low - shift))


@pytest.mark.parametrize("kind", [DISPARITY, DEPTH])
@pytest.mark.parametrize("fov_deg", [40.0, 62.0, 85.0])
def test_exact_maps_give_the_camera_and_the_shift(kind: DepthKind, fov_deg: float) -> None:
    depth, normals = box_room(Camera.from_fov_deg(fov_deg, WIDTH, HEIGHT))
    values = affine(depth, kind)
    found = estimated(values, normals, kind).estimate
    assert (found.focal_from, found.shift_from) == ("normals", "normals")
    assert found.fov_deg == pytest.approx(fov_deg, abs=0.5)
    assert found.depth_range_ratio == pytest.approx(ratio_of(values, -3.0), rel=0.02)
    assert found.fov_deg_90 < 1.5


def test_a_given_focal_length_stays_and_gives_a_surer_shift() -> None:
    camera = Camera.from_fov_deg(75.0, WIDTH, HEIGHT)
    depth, normals = box_room(camera)
    values = affine(depth, DISPARITY)
    free = estimated(values, normals, DISPARITY).estimate
    given = estimated(values, normals, DISPARITY, camera, known=True).estimate
    assert (given.focal_from, given.focal_px, given.fov_deg_90) == ("given", camera.fx, 0.0)
    assert given.depth_range_ratio == pytest.approx(ratio_of(values, -3.0), rel=0.01)
    widths = [np.ptp(estimate.depth_range_ratio_90) for estimate in (given, free)]
    assert widths[0] < widths[1]


def test_depth_without_a_shift_gives_the_focal_length() -> None:
    depth, normals = box_room(Camera.from_fov_deg(70.0, WIDTH, HEIGHT))
    found = estimated(depth, normals, DepthKind.METRIC).estimate
    assert (found.focal_from, found.shift_from) == ("normals", "given")
    assert found.fov_deg == pytest.approx(70.0, abs=0.5)
    assert found.depth_range_ratio == pytest.approx(ratio_of(depth, 0.0), rel=1e-3)


def test_the_size_of_the_maps_does_not_matter() -> None:
    """Twice as many pixels: the same camera."""
    big = Camera.from_fov_deg(70.0, 2 * WIDTH, 2 * HEIGHT)
    depth, normals = box_room(big)
    found = estimate_camera(
        DepthMap(affine(depth, DISPARITY).astype(np.float32), np.ones(depth.shape, bool), DISPARITY),
        NormalMap(normals.astype(np.float32), np.ones(depth.shape, bool)),
        Camera.from_fov_deg(55.0, 2 * WIDTH, 2 * HEIGHT),
        False,
        RATIO,
    ).estimate
    assert found.fov_deg == pytest.approx(70.0, abs=0.5)


def test_a_smooth_error_of_the_disparity_is_found_and_taken_off() -> None:
    """A wave of 2 % of the range: the camera stays right, and walls come out flatter than they went in."""
    camera = Camera.from_fov_deg(70.0, WIDTH, HEIGHT)
    depth, normals = box_room(camera)
    clean = 1 / depth
    x, y = np.meshgrid(np.linspace(0, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    wave = 0.028 * np.ptp(np.percentile(clean, (2, 98))) * np.sin(5 * x + 4 * y)
    random = np.random.default_rng(0)
    noisy = normals + np.radians(5) * random.normal(size=normals.shape)
    noisy /= np.linalg.norm(noisy, axis=-1, keepdims=True)
    found = estimated(clean + wave, noisy, DISPARITY)
    assert found.estimate.fov_deg == pytest.approx(70.0, abs=min(5.0, 1.5 * found.estimate.fov_deg_90))
    before, after = (_bend_deg(values, clean, camera) for values in (clean + wave, found.depth.values))
    assert after < 0.5 * before


def _bend_deg(values: NDArray, clean: NDArray, camera: Camera) -> float:
    """Median angle of normals once the map has the scale and shift of the clean one."""
    scale, shift = np.polyfit(values.ravel(), clean.ravel(), 1)
    normals, known = normals_from_depth(1 / (scale * values + shift), ALL, camera)
    truth, _ = normals_from_depth(1 / clean, ALL, camera)
    return float(np.median(angle_deg(normals[known], truth[known])))


def test_a_plane_that_faces_the_camera_keeps_the_default() -> None:
    found = estimated(np.full(ALL.shape, 2.0), np.broadcast_to([0.0, 0, -1], (*ALL.shape, 3)), DISPARITY)
    assert (found.estimate.focal_from, found.estimate.shift_from) == ("default", "default")
    assert found.estimate.fov_deg == pytest.approx(55.0)
    assert found.estimate.depth_range_ratio == RATIO
    assert found.estimate.fov_deg_90 > 20
    assert "the same everywhere" in found.estimate.reason


def test_noise_on_a_plane_that_faces_the_camera_is_not_depth() -> None:
    """The focal length stays at the default; that the normals are all alike says that there is hardly any relief."""
    values = 2 + 1e-3 * np.random.default_rng(0).normal(size=ALL.shape)
    found = estimated(values, np.broadcast_to([0.0, 0, -1], (*ALL.shape, 3)), DISPARITY).estimate
    assert found.focal_from == "default"
    assert found.fov_deg == pytest.approx(55.0)
    assert found.fov_deg_90 > 20
    assert found.depth_range_ratio < 2


def test_maps_that_contradict_each_other_keep_the_default_focal_length() -> None:
    """Normals of another photo: whatever fits best is not to be believed."""
    depth, normals = box_room(Camera.from_fov_deg(80.0, WIDTH, HEIGHT))
    found = estimated(1 / depth, facing_camera(normals[::-1, ::-1], DEFAULT), DISPARITY).estimate
    assert found.fov_deg_90 > 10 or found.focal_from == "default"


def test_normals_in_other_axes_are_told_from_ours() -> None:
    depth, normals = box_room(Camera.from_fov_deg(70.0, WIDTH, HEIGHT))
    found = estimated(1 / depth, -normals, DISPARITY).estimate
    assert found.focal_from == "default"
    assert "% of the normals look away" in found.reason


@pytest.mark.parametrize("left", [0, 1, 30])
def test_masks_that_leave_almost_nothing(left: int) -> None:
    depth, normals = box_room(DEFAULT)
    valid = np.zeros_like(ALL)
    valid.ravel()[:left] = True
    maps = DepthMap((1 / depth).astype(np.float32), valid, DISPARITY), NormalMap(normals.astype(np.float32), ALL)
    found = estimate_camera(*maps, DEFAULT, False, RATIO).estimate
    assert (found.focal_from, found.shift_from) == ("default", "default")
    assert found.reason


def test_thousands_of_islands() -> None:
    """Every sixth row and column is missing: squares of five by five are left, and are enough."""
    depth, normals = box_room(Camera.from_fov_deg(70.0, WIDTH, HEIGHT))
    valid = ALL.copy()
    valid[::6], valid[:, ::6] = False, False
    maps = DepthMap((1 / depth).astype(np.float32), valid, DISPARITY), NormalMap(normals.astype(np.float32), ALL)
    assert estimate_camera(*maps, DEFAULT, False, RATIO).estimate.fov_deg == pytest.approx(70.0, abs=1.0)


def test_a_camera_of_another_size_is_refused() -> None:
    depth, normals = box_room(DEFAULT)
    with pytest.raises(InputError, match="192x144.*camera 100x144.*must agree"):
        estimated(1 / depth, normals, DISPARITY, replace(DEFAULT, width=100))


def test_correlation_area_of_blocks_and_of_white_noise() -> None:
    random = np.random.default_rng(0)
    grid = (48, 64)
    index = np.arange(grid[0] * grid[1])
    white = random.normal(size=(*grid, 3))
    assert correlation_area(white.reshape(-1, 3), index, grid) == pytest.approx(1.0, abs=0.3)
    blocks = np.kron(random.normal(size=(12, 16, 3)), np.ones((4, 4, 1)))
    # Cells of a block of 4 x 4 err as one.
    assert correlation_area(blocks.reshape(-1, 3), index, grid) == pytest.approx(16.0, rel=0.25)


def test_slopes_of_the_basis_are_its_differences() -> None:
    xy = np.random.default_rng(0).uniform(10, 90, (20, 2))
    basis, step = smooth_basis(xy, 120, 100), 1e-4
    for axis, slope in enumerate((basis.slope_x, basis.slope_y)):
        moved = smooth_basis(xy + step * np.eye(2)[axis], 120, 100).value
        np.testing.assert_allclose((moved - basis.value) / step, slope, atol=1e-4)
    pixels = np.array([[3.5, 7.5], [100.5, 60.5]])
    there, rest = smooth_basis(pixels, 120, 100), np.random.default_rng(1).normal(size=basis.size)
    image = basis.image(rest, 120, 100)
    assert image.shape == (100, 120)
    np.testing.assert_allclose(image[[7, 60], [3, 100]], there.value @ rest)
