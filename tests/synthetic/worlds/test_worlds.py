"""Whole worlds of simple shapes."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.catalog import Catalog
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry
from lotus_recon.synthetic.surfaces import world_rays
from lotus_recon.synthetic.worlds.assets import ANIMALS, PEOPLE, Assets
from lotus_recon.synthetic.worlds.config import WorldsConfig
from lotus_recon.synthetic.worlds.creatures import has_creatures
from lotus_recon.synthetic.worlds.growing import building, ground_finish, terrain, tree
from lotus_recon.synthetic.worlds.writing import check_config, make_world

CATALOG: Catalog = ProceduralCatalog()
PLAIN = Assets(CATALOG, (), ())
SIZE = (32, 24)


@pytest.mark.parametrize("family", ["streets", "objects"])
def test_a_world_is_the_same_again_and_its_shots_see_something(family: str) -> None:
    room, shots = make_world(family, 3, PLAIN, 3, SIZE)
    again, shots_again = make_world(family, 3, PLAIN, 3, SIZE)
    assert len(shots) == 3
    assert all((a.cam_from_world == b.cam_from_world).all() for a, b in zip(shots, shots_again, strict=True))
    assert (room.mesh.vertices == again.mesh.vertices).all()
    surfaces = room_surfaces(room, threads=1)
    for shot in shots:
        truth = true_geometry(room, surfaces, shot)
        assert truth.depth.valid.mean() > 0.3
        assert np.ptp(truth.depth.values[truth.depth.valid]) > 0
        assert (truth.sky | truth.depth.valid).all()


def test_worlds_of_other_seeds_differ() -> None:
    meshes = [make_world("objects", seed, PLAIN, 1, SIZE)[0].mesh for seed in (1, 2)]
    assert len(meshes[0].vertices) != len(meshes[1].vertices)


def test_objects_are_close_by() -> None:
    distances = []
    for seed in range(4):
        room, shots = make_world("objects", seed, PLAIN, 4, SIZE)
        surfaces = room_surfaces(room, threads=1)
        for shot in shots:
            middle = world_rays(shot.camera, shot.cam_from_world)[1].reshape(*SIZE[::-1], 3)[12, 16]
            center = -shot.cam_from_world[:3, :3].T @ shot.cam_from_world[:3, 3]
            distances += list(surfaces.cast(center[None], middle[None]).distance)
    assert 0.1 < np.median(distances) < 1.5


def test_people_and_animals_are_told_by_their_names() -> None:
    people = ["Male", "Sitting female", "Lying down boy", "Girl"]
    animals = ["Horse", "Siamese cat", "Dog"]
    others = ["Mannequin male", "Clothes horse", "Dog house", "Female hanger"]
    assert all(PEOPLE.search(name) for name in people)
    assert all(ANIMALS.search(name) for name in animals)
    assert not any(PEOPLE.search(name) or ANIMALS.search(name) for name in others)


def test_without_people_and_animals_creatures_are_refused_or_left_out() -> None:
    assert not has_creatures(PLAIN)
    config = check_config(WorldsConfig(catalog="procedural", family="objects, creatures"))
    assert config.families == ("objects",)
    with pytest.raises(InputError, match="no people and animals; `make assets`"):
        check_config(WorldsConfig(catalog="procedural", family="creatures"))


def test_a_house_is_closed_and_its_panes_lie_behind_its_walls() -> None:
    random = np.random.default_rng(0)
    walls, panes, roof = building(random, ground_finish("soil", random), ground_finish("gravel", random), 10, 8, 3)
    directions = np.stack([np.linspace(-4.9, 4.9, 50), np.full(50, 30.0), np.linspace(0.1, 7, 50)], axis=1)
    origins = directions * (1, 0, 1) - (0, 30, 0)
    hits = room_surfaces_of(walls.mesh, panes.mesh, roof.mesh).cast(origins, directions * (0, 1, 0))
    assert hits.hit.all()
    assert set(hits.mesh) == {0, 1}
    assert hits.points[hits.mesh == 1, 1].min() > hits.points[hits.mesh == 0, 1].min() + 0.04
    assert (hits.normals[hits.mesh == 1] @ [0, -1, 0] > 0.99).all()


def test_trees_stand_on_the_ground_and_are_a_metre_high() -> None:
    for seed in range(6):
        bark, leaves = tree(np.random.default_rng(seed))
        assert abs(bark.mesh.vertices[:, 2].min()) < 1e-6
        assert 0.7 < leaves.mesh.vertices[:, 2].max() < 1.5
        assert leaves.material.fine


def test_the_ground_is_level_along_the_street() -> None:
    ground = terrain(np.random.default_rng(0), 400.0, 20.0, 25.0)
    near = np.abs(ground.vertices[:, 1]) < 20
    assert np.ptp(ground.vertices[near, 2]) < 1e-6
    assert np.ptp(ground.vertices[:, 2]) > 3
    assert ground.normals is not None
    assert ground.normals[:, 2].min() > 0.2


def room_surfaces_of(*meshes):  # type: ignore[no-untyped-def]
    from lotus_recon.synthetic.surfaces import Surfaces

    return Surfaces(meshes, threads=1)
