"""Where things may stand: what is free, and level surfaces to put things on."""

from __future__ import annotations

import numpy as np

from lotus_recon.synthetic.rooms.materials import Finishes
from lotus_recon.synthetic.rooms.occupancy import LevelSurfaces, Occupancy
from lotus_recon.synthetic.rooms.plan import Ceiling, Opening, Plan
from lotus_recon.synthetic.rooms.solids import box_between
from lotus_recon.synthetic.rooms.things import Thing, made
from tests.synthetic.rooms.plain_rooms import CATALOG

PLAN = Plan(
    5.0,
    4.0,
    Ceiling(0, (0.0,), (2.6,)),
    cuts=((4.0, 0.0, 5.0, 1.2),),
    openings=(Opening("door", 0, 0.5, 0.9, 0.0, 2.0), Opening("window", 3, 1.0, 1.2, 0.9, 1.2)),
)


def block(width: float, depth: float, height: float) -> Thing:
    mesh = box_between((-width / 2, -depth / 2, 0), (width / 2, depth / 2, height))
    return made("block", "other", [Finishes(CATALOG, np.random.default_rng(0)).plain("grey", (0.5, 0.5, 0.5)).on(mesh)])


def test_doors_and_columns_stay_free() -> None:
    occupancy = Occupancy(PLAN, 1000)
    door = PLAN.walls[0].point(0.95, 0.4)
    assert occupancy.put(block(0.5, 0.5, 1.0), float(door[0]), float(door[1]), 0.0) is None
    assert occupancy.put(block(0.5, 0.5, 1.0), 4.5, 0.6, 0.0) is None  # the missing corner
    assert occupancy.put(block(0.5, 0.5, 1.0), 2.5, 2.0, 0.3) is not None


def test_turned_boxes_collide_only_where_they_meet() -> None:
    occupancy = Occupancy(PLAN, 1000)
    assert occupancy.put(block(1.0, 1.0, 1.0), 2.0, 2.0, np.pi / 4)
    assert occupancy.put(block(0.4, 0.4, 1.0), 2.6, 2.6, 0.0)  # beside the slanted edge, within its bounding box
    assert occupancy.put(block(0.4, 0.4, 1.0), 2.6, 2.0, 0.0) is None
    assert occupancy.put(block(0.4, 0.4, 0.4), 2.0, 2.0, 0.0, z=1.0)  # above


def test_nothing_is_placed_beyond_the_budget() -> None:
    occupancy = Occupancy(PLAN, 20)
    assert occupancy.put(block(0.3, 0.3, 0.3), 1.0, 3.0, 0.0)
    assert occupancy.put(block(0.3, 0.3, 0.3), 3.0, 3.0, 0.0) is None


def test_surfaces_finds_every_board_of_a_shelf() -> None:
    random = np.random.default_rng(0)
    boards = [box_between((-0.4, -0.15, z), (0.4, 0.15, z + 0.02)) for z in (0.1, 0.5, 0.9)]
    grey = Finishes(CATALOG, random).plain("grey", (0.5, 0.5, 0.5))
    surfaces = LevelSurfaces(made("shelf", "shelf", [grey.on(board) for board in boards]))
    spots = [surfaces.find((0.1, 0.1, 0.2), 0.0, random) for _ in range(40)]
    heights = {round(spot[2], 3) for spot in spots if spot}
    assert heights == {0.12, 0.52, 0.92}
    tall = [surfaces.find((0.1, 0.1, 0.6), 0.0, random) for _ in range(20)]
    assert {round(spot[2], 3) for spot in tall if spot} == {0.92}  # only there is enough space above
    assert all(abs(spot[0]) <= 0.36 and abs(spot[1]) <= 0.11 for spot in spots if spot)
