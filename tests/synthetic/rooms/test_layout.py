"""Rooms as a whole: closed, lit, within their budget, the same for the same seed."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import open3d as o3d
import pytest
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.layout import make_room
from lotus_recon.synthetic.rooms.plan import Ceiling, Opening, Plan
from lotus_recon.synthetic.rooms.scene import Room
from lotus_recon.synthetic.rooms.shell import KINDS, draw_kind, draw_plan
from tests.synthetic.rooms.plain_catalog import PlainCatalog

ROOMS = 5


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    catalog = PlainCatalog()
    return [make_room(seed, catalog) for seed in range(ROOMS)]


def digest(room: Room) -> str:
    value = hashlib.sha256()
    for part in room.parts:
        value.update(part.mesh.vertices.tobytes() + repr(part.material.emission).encode())
        if part.material.texture is not None:
            value.update(part.material.texture.tobytes())
    return value.hexdigest()


def plans(count: int) -> list[Plan]:
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        found.append(draw_plan(draw_kind(random), random))
    return found


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
        "from lotus_recon.synthetic.rooms.layout import make_room;"
        "from tests.synthetic.rooms.plain_catalog import PlainCatalog;"
        "print(digest(make_room(3, PlainCatalog())))"
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


def test_most_plans_have_windows_and_all_a_door() -> None:
    drawn = plans(120)
    assert np.mean([any(opening.kind == "window" for opening in plan.openings) for plan in drawn]) > 0.75
    assert np.mean([any(opening.kind == "door" for opening in plan.openings) for plan in drawn]) > 0.9


def test_openings_fit_into_their_walls_and_do_not_overlap() -> None:
    for plan in plans(120):
        for i, wall in enumerate(plan.walls):
            openings = sorted(plan.openings_of(i), key=lambda opening: opening.start)
            for opening in openings:
                assert opening.start > 0 and opening.end < wall.length  # noqa: PT018
                tops = [plan.ceiling.at(*wall.point(x, 0.0)) for x in (opening.start, opening.end)]
                assert opening.top < min(tops)
            for a, b in itertools.pairwise(openings):
                assert a.end < b.start


def test_walls_enclose_the_floor_of_an_l_shape() -> None:
    plan = Plan(4.0, 3.0, Ceiling(0, (0.0,), (2.5,)), cuts=((2.5, 0.0, 4.0, 1.0),))
    assert sum(wall.length for wall in plan.walls) == pytest.approx(14.0)  # the perimeter of the rectangle, too
    area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in plan.cells)
    assert area == pytest.approx(4 * 3 - 1.5 * 1.0)
    assert len(plan.walls) == 6
    for wall in plan.walls:  # a step inside is in the room, a step outside is not
        inside, outside = wall.point(wall.length / 2, 0.01), wall.point(wall.length / 2, -0.01)
        assert any(x0 < inside[0] < x1 and y0 < inside[1] < y1 for x0, y0, x1, y1 in plan.cells)
        assert not any(x0 < outside[0] < x1 and y0 < outside[1] < y1 for x0, y0, x1, y1 in plan.cells)


def test_a_gable_is_highest_at_its_ridge() -> None:
    ceiling = Ceiling(1, (0.0, 2.0, 4.0), (1.8, 3.0, 1.8))
    assert ceiling.at(7.0, 2.0) == 3.0
    assert ceiling.at(7.0, 1.0) == pytest.approx(2.4)


def test_opening_ends() -> None:
    opening = Opening("window", 0, 1.0, 1.5, 0.9, 1.2)
    assert opening.end == pytest.approx(2.5)
    assert opening.top == pytest.approx(2.1)


def test_kinds_are_drawn_by_their_share() -> None:
    random = np.random.default_rng(0)
    names = [draw_kind(random).name for _ in range(2000)]
    for kind in KINDS:
        assert names.count(kind.name) / 2000 == pytest.approx(kind.share, abs=0.04)


def test_no_room_is_dark() -> None:
    catalog = PlainCatalog()
    for seed in range(20, 24):
        room = make_room(seed, catalog)
        assert sum(max(lamp.intensity) for lamp in room.lamps) > 0.3
