"""Up is found from cameras that look level, up or down."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.gravity import estimate_up, rotation_between
from lotus_recon.geometry.normals import normalized

UP = normalized(np.array([0.3, -0.8, 0.4]))


def camera_looking(forward: NDArray[np.float64]) -> NDArray[np.float64]:
    """cam_from_world of a camera without roll that looks along ``forward``."""
    z = normalized(forward)
    x = normalized(np.cross(z, UP))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z])
    return pose


def level_directions(n: int) -> NDArray[np.float64]:
    east = normalized(np.cross(UP, [1.0, 0, 0]))
    north = np.cross(UP, east)
    angles = np.linspace(0, 1.5 * np.pi, n)
    return np.cos(angles)[:, None] * east + np.sin(angles)[:, None] * north


@pytest.mark.parametrize("pitch", [0.0, -0.7, 0.5])
def test_all_cameras_tilted_the_same_way(pitch: float) -> None:
    poses = [camera_looking(d + pitch * UP) for d in level_directions(12)]
    assert estimate_up(poses) @ UP > np.cos(np.radians(2.0))


def test_a_single_level_camera() -> None:
    np.testing.assert_allclose(estimate_up([camera_looking(level_directions(1)[0])]), UP, atol=1e-12)


def test_rotation_between() -> None:
    rng = np.random.default_rng(0)
    for a, b in normalized(rng.normal(size=(20, 2, 3))):
        R = rotation_between(a, b)
        np.testing.assert_allclose(R @ a, b, atol=1e-12)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation_between(UP, -UP) @ UP, -UP, atol=1e-12)
    assert np.linalg.det(rotation_between(UP, -UP)) == pytest.approx(1)
