"""Rooms as a whole: closed, lit, within their budget, the same for the same seed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import open3d as o3d
import pytest
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.scene import Room
from tests.synthetic.rooms.plain_rooms import plain_room

ROOMS = 5


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [plain_room(seed) for seed in range(ROOMS)]


def digest(room: Room) -> str:
    value = hashlib.sha256()
    for part in room.parts:
        value.update(part.mesh.vertices.tobytes() + repr(part.material.emission).encode())
        if part.material.texture is not None:
            value.update(part.material.texture.tobytes())
    return value.hexdigest()


def first_hits(room: Room, origin: NDArray[np.float64]) -> NDArray[np.float64]:
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    for part in room.parts:
        triangles = part.mesh.triangles.astype(np.uint32)
        scene.add_triangles(o3d.core.Tensor.from_numpy(part.mesh.vertices), o3d.core.Tensor.from_numpy(triangles))
    directions = np.random.default_rng(0).normal(size=(4000, 3))
    rays = np.concatenate([np.broadcast_to(origin, directions.shape), directions], axis=1).astype(np.float32)
    return np.asarray(scene.cast_rays(o3d.core.Tensor.from_numpy(rays))["t_hit"].numpy())


def test_same_seed_same_room_in_another_process_with_another_hash_seed(rooms: list[Room]) -> None:
    code = (
        "from tests.synthetic.rooms.test_layout import digest;"
        "from tests.synthetic.rooms.plain_rooms import plain_room;"
        "print(digest(plain_room(3)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4321"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(rooms[3])
    assert digest(rooms[3]) != digest(rooms[4])


def test_no_light_gets_in_between_walls(rooms: list[Room]) -> None:
    for room in rooms:
        assert np.isfinite(first_hits(room, np.array([room.size[0] / 2, room.size[1] / 2, room.size[2] - 0.6]))).all()


def test_rooms_keep_to_the_budget_and_are_lit(rooms: list[Room]) -> None:
    for room in rooms:
        assert sum(len(part.mesh.triangles) for part in room.parts) <= 600_000
        assert any(part.material.shines for part in room.parts)
        assert min(room.ambient) > 0


def test_lamps_hang_and_stand_in_the_room_or_behind_its_windows(rooms: list[Room]) -> None:
    for room in rooms:
        for lamp in room.lamps:
            inside = (np.array(lamp.center) > -0.1) & (np.array(lamp.center) < np.array(room.size) + 0.1)
            assert inside.all() or max(lamp.intensity) > 20  # the sun


def test_normals_are_unit_and_on_the_side_of_their_triangles(rooms: list[Room]) -> None:
    mesh = rooms[0].mesh
    assert mesh.normals is not None
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-3)
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    agree = (faces * mesh.normals[mesh.triangles].mean(1)).sum(1)
    assert (agree >= -1e-9).mean() > 0.98


def test_no_room_is_dark(rooms: list[Room]) -> None:
    for room in rooms:
        assert sum(max(lamp.intensity) for lamp in room.lamps) > 0.3
