"""Pixels, rays and points: round trips, and the half-pixel rule against values worked out by hand."""

from __future__ import annotations

import kornia.geometry as kornia
import numpy as np
import pytest
import torch

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import fit_longer_edge, pixel_centers, pixel_index, project, rays_in_cam, unproject
from lotus_recon.types import Camera

CAMERA = Camera(width=40, height=30, fx=50.0, fy=45.0, cx=21.3, cy=14.2)


def test_first_pixel_centre_is_at_one_half() -> None:
    centers = pixel_centers(2, 3)
    assert centers.shape == (2, 3, 2)
    assert centers[0, 0].tolist() == [0.5, 0.5]
    assert centers[1, 2].tolist() == [2.5, 1.5]


def test_the_ray_through_the_principal_point_is_the_optical_axis() -> None:
    camera = Camera(3, 3, 10, 10, 1.5, 1.5)
    assert rays_in_cam(camera)[1, 1].tolist() == [0, 0, 1]
    assert rays_in_cam(camera)[2, 0] == pytest.approx([-0.1, 0.1, 1])  # left is -x, below is +y


def test_project_undoes_unproject() -> None:
    depth = np.random.default_rng(0).uniform(0.5, 9, (30, 40))
    points = unproject(depth, CAMERA)
    assert np.allclose(points[..., 2], depth), "z-depth, not ray length"
    assert np.allclose(project(points, CAMERA), pixel_centers(30, 40))


def test_kornia_projects_and_unprojects_alike() -> None:
    depth = np.random.default_rng(0).uniform(0.5, 9, (30, 40))
    K, xy = torch.from_numpy(CAMERA.K), torch.from_numpy(pixel_centers(30, 40))
    points = kornia.unproject_points(xy, torch.from_numpy(depth)[..., None], K)
    np.testing.assert_allclose(unproject(depth, CAMERA), points, atol=1e-12)
    moved = points + torch.tensor([0.3, -0.2, 0.1])
    # Some versions of kornia add a little to what they divide by.
    np.testing.assert_allclose(project(moved.numpy(), CAMERA), kornia.project_points(moved, K), rtol=1e-5)


def test_points_at_or_behind_the_camera_have_no_pixel() -> None:
    points = np.array([[0.0, 0, 1], [0, 0, 0], [1, 1, -2]])
    assert np.isfinite(project(points, CAMERA)).all(-1).tolist() == [True, False, False]


def test_resize_then_project_is_project_then_scale() -> None:
    points = np.random.default_rng(1).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    assert np.allclose(project(points, CAMERA.resized(100, 15)), project(points, CAMERA) * [100 / 40, 15 / 30])


def test_pixel_index_holds_the_position() -> None:
    xy = np.array([[0.0, 0.0], [0.99, 1.0], [39.99, 29.99], [40.0, 30.0], [-3.0, 50.0]])
    row, col = pixel_index(xy, 30, 40)
    assert row.tolist() == [0, 1, 29, 29, 29]
    assert col.tolist() == [0, 0, 39, 39, 0]


@pytest.mark.parametrize(
    ("size", "longer_edge", "expected"),
    [((4000, 3000), 1000, (1000, 750)), ((3000, 4000), 1000, (750, 1000)), ((800, 600), 1000, (800, 600)),
     ((800, 600), 0, (800, 600)), ((3000, 2), 100, (100, 1))],
)  # fmt: skip
def test_longer_edge(size: tuple[int, int], longer_edge: int, expected: tuple[int, int]) -> None:
    assert fit_longer_edge(*size, longer_edge) == expected


def test_field_of_view() -> None:
    camera = Camera.from_fov_deg(90, 200, 100)
    assert camera.fx == pytest.approx(100)
    assert (camera.cx, camera.cy) == (100, 50)
    assert camera.fov_deg == pytest.approx((90, 2 * np.degrees(np.arctan(0.5))))
    shifted = Camera(200, 100, 100, 100, 0, 50)
    assert shifted.fov_deg[0] == pytest.approx(np.degrees(np.arctan(2)))


def test_K_round_trip() -> None:
    assert Camera.from_K(CAMERA.K, 40, 30) == CAMERA
    points = np.random.default_rng(2).uniform(1, 2, (5, 3))
    by_matrix = points @ CAMERA.K.T
    assert np.allclose(project(points, CAMERA), by_matrix[:, :2] / by_matrix[:, 2:])


def test_cameras_that_are_refused() -> None:
    with pytest.raises(InputError, match="positive"):
        Camera(0, 30, 50, 50, 20, 15)
    with pytest.raises(InputError, match="focal"):
        Camera(40, 30, -50, 50, 20, 15)
    with pytest.raises(InputError, match="finite"):
        Camera(40, 30, 50, 50, float("nan"), 15)
    with pytest.raises(InputError, match="skew"):
        Camera.from_K(np.array([[50, 1, 20], [0, 50, 15], [0, 0, 1.0]]), 40, 30)
    with pytest.raises(InputError, match="below 180"):
        Camera.from_fov_deg(180, 40, 30)
