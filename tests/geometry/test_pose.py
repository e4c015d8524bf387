"""Rigid motions and similarities against planted ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import Similarity, fit_similarity, invert_rigid, rotation_angle_deg, transform
from lotus_recon.types import Camera, View

RANDOM = np.random.default_rng(0)
CAMERA = Camera(40, 30, 50.0, 45.0, 21.3, 14.2)


def random_pose(seed: int) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    pose[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return pose


def test_inverse() -> None:
    assert np.allclose(invert_rigid(random_pose(1)) @ random_pose(1), np.eye(4))


def test_transform_follows_the_matrix_product() -> None:
    b_from_a, c_from_b = random_pose(1), random_pose(2)
    points = RANDOM.normal(size=(2, 5, 3))
    assert np.allclose(transform(c_from_b @ b_from_a, points), transform(c_from_b, transform(b_from_a, points)))


@pytest.mark.parametrize("angle_deg", [0.0, 1e-6, 0.01, 30.0, 179.999])
def test_rotation_angle_is_exact_also_when_small(angle_deg: float) -> None:
    axis = np.array([0.6, 0.0, 0.8])
    assert rotation_angle_deg(Rotation.from_rotvec(np.radians(angle_deg) * axis).as_matrix()) == pytest.approx(
        angle_deg, rel=1e-6, abs=1e-12
    )


def planted() -> Similarity:
    return Similarity(2.5, Rotation.random(random_state=3).as_matrix(), np.array([1.0, -2.0, 3.0]))


@pytest.mark.parametrize("flat", [False, True])
def test_similarity_is_recovered(flat: bool) -> None:
    source = RANDOM.normal(size=(10, 3)) * ([1, 1, 0] if flat else [1, 1, 1])
    found = fit_similarity(source, planted().apply(source))
    assert found.scale == pytest.approx(2.5)
    assert np.allclose(found.R, planted().R)
    assert np.allclose(found.t, planted().t)


def test_noise_ends_at_a_minimum() -> None:
    source = RANDOM.normal(size=(30, 3))
    target = planted().apply(source) + 0.1 * RANDOM.normal(size=(30, 3))
    found = fit_similarity(source, target)

    def cost(similarity: Similarity) -> float:
        return float(((similarity.apply(source) - target) ** 2).sum())

    for axis in np.eye(3):
        for step in (-1e-3, 1e-3):
            turned = Rotation.from_rotvec(step * axis).as_matrix() @ found.R
            assert cost(found) < cost(Similarity(found.scale, turned, found.t))
            assert cost(found) < cost(Similarity(found.scale, found.R, found.t + step * axis))
    assert cost(found) < min(cost(Similarity(found.scale * s, found.R, found.t)) for s in (0.999, 1.001))


def test_a_mirror_image_gives_a_rotation_still() -> None:
    source = RANDOM.normal(size=(10, 3))
    assert np.linalg.det(fit_similarity(source, source * [1, 1, -1]).R) == pytest.approx(1)


def test_without_scale() -> None:
    source = RANDOM.normal(size=(10, 3))
    assert fit_similarity(source, 3 * source, with_scale=False).scale == 1


def test_points_that_fix_no_similarity() -> None:
    with pytest.raises(InputError, match="3 or more"):
        fit_similarity(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="coincide"):
        fit_similarity(np.ones((4, 3)), RANDOM.normal(size=(4, 3)))


def test_a_camera_moved_with_its_world_sees_the_same() -> None:
    new_from_old, cam_from_old = planted(), random_pose(4)
    points = RANDOM.normal(size=(6, 3))
    in_old = transform(cam_from_old, points)
    in_new = transform(new_from_old.apply_to_pose(cam_from_old), new_from_old.apply(points))
    assert np.allclose(in_new, 2.5 * in_old)


def test_view_checks_its_pose_and_knows_its_centre() -> None:
    pose = random_pose(5)
    view = View("a/b.c.jpg", CAMERA, pose)
    assert view.stem == "a/b.c"
    assert np.allclose(view.center_in_world, invert_rigid(pose)[:3, 3])
    for bad, message in (
        (np.diag([1, 1, -1, 1.0]), "not a rotation"),
        (np.diag([2, 2, 2, 1.0]), "not a rotation"),
        (np.eye(3), "allowed"),
        (np.full((4, 4), np.nan), "finite"),
        (np.eye(4) + np.eye(4)[[3, 0, 1, 2]] * [[0], [0], [0], [1]], "last row"),
    ):
        with pytest.raises(InputError, match=message) as error:
            View("bad.jpg", CAMERA, bad)
        assert "bad.jpg" in str(error.value)
