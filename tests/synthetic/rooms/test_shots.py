"""Cameras stand in free space and see something."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.shots import _Sight, make_shots
from tests.synthetic.rooms.plain_rooms import plain_room

COUNT = 12


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [plain_room(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def shots(rooms: list[Room]) -> list[list[Shot]]:
    return [make_shots(room, 7, COUNT, 64, 48) for room in rooms]


def seen(room: Room, shot: Shot) -> tuple[NDArray, NDArray, NDArray]:
    """Distance, z-depth and sky of every pixel."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    for part in room.parts:
        triangles = part.mesh.triangles.astype(np.uint32)
        scene.add_triangles(o3d.core.Tensor.from_numpy(part.mesh.vertices), o3d.core.Tensor.from_numpy(triangles))
    world_from_cam = invert_rigid(shot.cam_from_world)
    directions = rays_in_cam(shot.camera).reshape(-1, 3) @ world_from_cam[:3, :3].T
    origins = np.broadcast_to(world_from_cam[:3, 3], directions.shape)
    answer = scene.cast_rays(
        o3d.core.Tensor.from_numpy(np.concatenate([origins, directions], axis=1).astype(np.float32))
    )
    depth, part = answer["t_hit"].numpy(), answer["geometry_ids"].numpy()
    sky = np.array([part.is_sky for part in room.parts])[np.minimum(part, len(room.parts) - 1)]
    return depth * np.linalg.norm(directions, axis=1), depth, sky


def test_as_many_as_asked_and_the_same_again(rooms: list[Room], shots: list[list[Shot]]) -> None:
    again = make_shots(rooms[0], 7, COUNT, 64, 48)
    assert len(again) == COUNT
    for one, other in zip(shots[0], again, strict=True):
        np.testing.assert_array_equal(one.cam_from_world, other.cam_from_world)
        assert one.camera == other.camera
    assert not np.array_equal(make_shots(rooms[0], 8, 1, 64, 48)[0].cam_from_world, again[0].cam_from_world)


def test_cameras_are_in_the_room_with_space_around(rooms: list[Room], shots: list[list[Shot]]) -> None:
    for room, taken in zip(rooms, shots, strict=True):
        for index, shot in enumerate(taken):
            center = transform(invert_rigid(shot.cam_from_world), np.zeros(3))
            assert ((center > 0.05) & (center < np.array(room.size) - 0.05)).all()
            if index % 3:
                continue
            distance, depth, sky = seen(room, shot)
            assert distance.min() > 0.2  # trials look at fewer pixels
            assert np.median(depth[~sky]) > 0.5
            assert sky.mean() < 0.5


def test_cameras_are_upright_and_ordinary(shots: list[list[Shot]]) -> None:
    everything = [shot for taken in shots for shot in taken]
    for shot in everything:
        down = shot.cam_from_world[:3, :3] @ [0, 0, -1]
        assert abs(np.degrees(np.arctan2(down[0], np.hypot(down[1], down[2])))) < 10  # roll
        camera = shot.camera
        ideal = 2 * np.degrees(np.arctan(camera.width / 2 / camera.fx))
        assert 39.9 < ideal < 85.1
        assert camera.fx == camera.fy
        assert abs(camera.cx / camera.width - 0.5) <= 0.02
        assert abs(camera.cy / camera.height - 0.5) <= 0.02
    heights = [transform(invert_rigid(shot.cam_from_world), np.zeros(3))[2] for shot in everything]
    assert 0.9 < np.median(heights) < 1.8


def test_cameras_do_not_go_through_walls(rooms: list[Room]) -> None:
    sight = _Sight(rooms[0])
    width, depth, height = rooms[0].size
    middle = np.array([width / 2, depth / 2, height - 0.5])
    behind = np.array([-0.8, depth / 2, height - 0.5])
    assert sight.between(middle, behind)
    assert not sight.between(middle, middle + np.array([0.02, 0.0, 0.0]))
    assert not sight.clear(behind)


def test_impossible_counts_are_refused(rooms: list[Room]) -> None:
    with pytest.raises(InputError, match="0 shots"):
        make_shots(rooms[0], 0, 0, 64, 48)
