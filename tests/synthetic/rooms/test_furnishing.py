"""Furniture: inside the walls, not through each other, against walls and on surfaces where it says so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.furnishing import PROGRAMMES, furnish
from lotus_recon.synthetic.rooms.materials import draw_palette
from lotus_recon.synthetic.rooms.occupancy import Occupancy, Placed
from lotus_recon.synthetic.rooms.openings import sky_gradient
from lotus_recon.synthetic.rooms.shell import KINDS
from lotus_recon.synthetic.rooms.things import AssetSampler
from tests.synthetic.rooms.plain_rooms import CATALOG
from tests.synthetic.rooms.test_occupancy import PLAN


def furnished(kind: str, seed: int, crowd: float = 1.0) -> Occupancy:
    random = np.random.default_rng(seed)
    palette, finishes = draw_palette(CATALOG, random)
    occupancy = Occupancy(PLAN, 300_000)
    furnisher = Furnisher(
        occupancy, AssetSampler(CATALOG, finishes, random, occupancy), palette, sky_gradient(random), crowd, random
    )
    furnish(furnisher, kind, PLAN.openings[1:])
    return occupancy


def corners(placed: Placed) -> list[tuple[float, float]]:
    w, d, _ = placed.thing.size
    return [placed.point(a * w / 2, b * d / 2) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def overlap(a: Placed, b: Placed) -> float:
    """Depth by which two boxes overlap: the least over all separating directions (heights included)."""
    depths: list[float] = [min(a.z + a.thing.size[2], b.z + b.thing.size[2]) - max(a.z, b.z)]
    for turn in (a.turn, a.turn + np.pi / 2, b.turn, b.turn + np.pi / 2):
        axis = np.array([np.cos(turn), np.sin(turn)])
        (a0, a1), (b0, b1) = ((min(s), max(s)) for s in ([axis @ c for c in corners(p)] for p in (a, b)))
        depths.append(float(min(a1, b1) - max(a0, b0)))
    return min(depths)


@pytest.mark.parametrize("kind", sorted(PROGRAMMES))
def test_things_are_inside_and_apart(kind: str) -> None:
    occupancy = furnished(kind, seed=1)
    solids = [placed for placed in occupancy.placed if placed.solid]
    assert len(solids) > 5
    for placed in solids:
        low = -0.2 if placed.z > 0.5 else -0.005  # what stands on a sill may reach into the window
        assert all(low < x < 5.005 - low and low < y < 4.005 - low for x, y in corners(placed))
        assert placed.z + placed.thing.size[2] < 2.6 + 1e-6
    for a, b in itertools.combinations(solids, 2):
        related = a.host is b or b.host is a
        assert related or overlap(a, b) < 0.02, (a.thing.name, b.thing.name)


def test_every_kind_of_room_has_a_programme() -> None:
    assert {kind.name for kind in KINDS} == set(PROGRAMMES)


def test_what_stands_at_a_wall_has_its_back_there() -> None:
    for placed in furnished("living", seed=2).placed:
        if placed.at_wall is not None:
            wall = PLAN.walls[placed.at_wall]
            x, y = placed.point(0.0, placed.thing.size[1] / 2)
            behind = wall.world_from_wall[:3, :3].T @ np.array([x - wall.start[0], y - wall.start[1], 0.0])
            assert -0.1 < behind[1] < 0.001  # just inside of the wall


def test_things_lie_on_their_host() -> None:
    occupancy = furnished("office", seed=3)
    lying = [placed for placed in occupancy.placed if placed.host is not None and placed.z > 0]
    assert len(lying) > 3
    for placed in lying:
        assert placed.host is not None
        assert placed.z <= placed.host.z + placed.host.thing.size[2] + 0.01
