"""Furniture: inside the walls, not through each other, against walls and on surfaces where it says so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lotus_recon.synthetic.rooms import built_furniture
from lotus_recon.synthetic.rooms.colors import linear_rgb
from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.furnishing import PROGRAMMES, furnish
from lotus_recon.synthetic.rooms.materials import Finishes, draw_palette
from lotus_recon.synthetic.rooms.merging import SHELL, merged_parts
from lotus_recon.synthetic.rooms.openings import sky_gradient
from lotus_recon.synthetic.rooms.plan import Ceiling, Opening, Plan
from lotus_recon.synthetic.rooms.scene import Material, Part
from lotus_recon.synthetic.rooms.shell import KINDS
from lotus_recon.synthetic.rooms.solids import box_between
from lotus_recon.synthetic.rooms.staging import Placed, Stage, Surfaces
from lotus_recon.synthetic.rooms.things import Shop, Thing, made
from tests.synthetic.rooms.plain_catalog import PlainCatalog

PLAN = Plan(
    5.0,
    4.0,
    Ceiling(0, (0.0,), (2.6,)),
    cuts=((4.0, 0.0, 5.0, 1.2),),
    openings=(Opening("door", 0, 0.5, 0.9, 0.0, 2.0), Opening("window", 3, 1.0, 1.2, 0.9, 1.2)),
)
CATALOG = PlainCatalog()


def block(width: float, depth: float, height: float) -> Thing:
    mesh = box_between((-width / 2, -depth / 2, 0), (width / 2, depth / 2, height))
    return made("block", "other", [Finishes(CATALOG, np.random.default_rng(0)).plain("grey", (0.5, 0.5, 0.5)).on(mesh)])


def furnished(kind: str, seed: int, crowd: float = 1.0) -> Stage:
    random = np.random.default_rng(seed)
    palette, finishes = draw_palette(CATALOG, random)
    stage = Stage(PLAN, 300_000)
    furnisher = Furnisher(stage, Shop(CATALOG, finishes, random, stage), palette, sky_gradient(random), crowd, random)
    furnish(furnisher, kind, PLAN.openings[1:])
    return stage


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
    stage = furnished(kind, seed=1)
    solids = [placed for placed in stage.placed if placed.solid]
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


def test_doors_and_columns_stay_free() -> None:
    stage = Stage(PLAN, 1000)
    door = PLAN.walls[0].point(0.95, 0.4)
    assert stage.put(block(0.5, 0.5, 1.0), float(door[0]), float(door[1]), 0.0) is None
    assert stage.put(block(0.5, 0.5, 1.0), 4.5, 0.6, 0.0) is None  # the missing corner
    assert stage.put(block(0.5, 0.5, 1.0), 2.5, 2.0, 0.3) is not None


def test_turned_boxes_collide_only_where_they_meet() -> None:
    stage = Stage(PLAN, 1000)
    assert stage.put(block(1.0, 1.0, 1.0), 2.0, 2.0, np.pi / 4)
    assert stage.put(block(0.4, 0.4, 1.0), 2.6, 2.6, 0.0)  # beside the slanted edge, within its bounding box
    assert stage.put(block(0.4, 0.4, 1.0), 2.6, 2.0, 0.0) is None
    assert stage.put(block(0.4, 0.4, 0.4), 2.0, 2.0, 0.0, z=1.0)  # above


def test_nothing_is_placed_beyond_the_budget() -> None:
    stage = Stage(PLAN, 20)
    assert stage.put(block(0.3, 0.3, 0.3), 1.0, 3.0, 0.0)
    assert stage.put(block(0.3, 0.3, 0.3), 3.0, 3.0, 0.0) is None


def test_surfaces_finds_every_board_of_a_shelf() -> None:
    random = np.random.default_rng(0)
    boards = [box_between((-0.4, -0.15, z), (0.4, 0.15, z + 0.02)) for z in (0.1, 0.5, 0.9)]
    grey = Finishes(CATALOG, random).plain("grey", (0.5, 0.5, 0.5))
    surfaces = Surfaces(made("shelf", "shelf", [grey.on(board) for board in boards]))
    spots = [surfaces.find((0.1, 0.1, 0.2), 0.0, random) for _ in range(40)]
    heights = {round(spot[2], 3) for spot in spots if spot}
    assert heights == {0.12, 0.52, 0.92}
    tall = [surfaces.find((0.1, 0.1, 0.6), 0.0, random) for _ in range(20)]
    assert {round(spot[2], 3) for spot in tall if spot} == {0.92}  # only there is enough space above
    assert all(abs(spot[0]) <= 0.36 and abs(spot[1]) <= 0.11 for spot in spots if spot)


def test_things_lie_on_their_host() -> None:
    stage = furnished("office", seed=3)
    lying = [placed for placed in stage.placed if placed.host is not None and placed.z > 0]
    assert len(lying) > 3
    for placed in lying:
        assert placed.host is not None
        assert placed.z <= placed.host.z + placed.host.thing.size[2] + 0.01


def test_merged_parts_keep_surfaces_and_colors() -> None:
    mesh = box_between((0, 0, 0), (1, 1, 1))
    colors = [(0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)]
    parts = [Part(f"p{i}", mesh, Material("m", color)) for i, color in enumerate(colors)]
    lamp = Part("lamp", mesh, Material("glow", emission=(1.0, 1.0, 1.0)))
    shell, things, shining = sorted(merged_parts(parts[:1], [*parts[1:], lamp]), key=lambda part: part.name != SHELL)[
        :3
    ]
    things, shining = sorted((things, shining), key=lambda part: part.material.shines)
    assert shining is lamp
    assert len(shell.mesh.triangles) == 12
    assert len(things.mesh.triangles) == 24
    texture, uv = things.material.texture, things.uv
    assert texture is not None
    assert uv is not None
    for start, color in ((0, colors[1]), (24, colors[2])):
        u, v = uv[start]
        row, column = int((1 - v) * texture.shape[0]), int(u * texture.shape[1])
        np.testing.assert_allclose(linear_rgb(texture[row, column]), color, atol=0.01)


def test_made_is_as_large_as_its_mesh() -> None:
    random = np.random.default_rng(0)
    palette, finishes = draw_palette(CATALOG, random)
    shelf = built_furniture.shelving(random, finishes, palette, 1.8, 1.0)
    assert shelf.size[0] == pytest.approx(1.0)
    assert shelf.size[2] == pytest.approx(1.8, abs=0.03)
    assert shelf.scaled(1.1).size[2] == pytest.approx(1.1 * shelf.size[2])
