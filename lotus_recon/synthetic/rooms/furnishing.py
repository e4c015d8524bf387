"""What rooms of each kind hold, as lists of groups of things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lotus_recon.synthetic.rooms import built_furniture, pictures, props
from lotus_recon.synthetic.rooms.furnisher import BATH, KITCHEN, OFFICE, TOYS, Furnisher
from lotus_recon.synthetic.rooms.kitchens import kitchen_row
from lotus_recon.synthetic.rooms.occupancy import Placed
from lotus_recon.synthetic.rooms.plan import Opening

_HALF = np.pi / 2


def _living(f: Furnisher) -> None:
    sofa_model = f.assets.pick("sofa", at_most=(min(3.0, f.plan.width), 2.0, 1.2))
    if f.chance(0.3) and min(f.plan.width, f.plan.depth) > 4:
        x, y = f.plan.width * f.uniform(0.4, 0.6), f.plan.depth * f.uniform(0.4, 0.6)
        sofa = f.at(sofa_model, x, y, _HALF * int(f.random.integers(4)))
    else:
        sofa = f.by_wall(sofa_model, front=1.4)
    f.sitting_group(sofa)
    f.television(sofa)
    if sofa and f.chance(0.6):
        f.hang(f.picture(), f.uniform(1.25, 1.5), above=sofa)
    f.shelves(f.few(1.2))
    f.sideboards(f.few(0.8))
    if f.plan.width * f.plan.depth > 22 and f.chance(0.6):
        _dining_group(f)
    if f.chance(0.15 + 0.15 * f.crowd):
        f.by_wall(f.assets.pick("large_thing", at_most=(2.0, 1.2, 2.0)))


def _dining_group(f: Furnisher) -> Placed | None:
    size = f.uniform(0.8, 2.0), f.uniform(0.75, 1.0)
    table = f.assets.pick("table", at_most=(2.4, 1.4, 0.95)) if f.chance(0.6) else None
    table = table or built_furniture.table(f.random, f.finishes, f.palette, *size, f.uniform(0.7, 0.78))
    x, y = f.plan.width * f.uniform(0.3, 0.7), f.plan.depth * f.uniform(0.3, 0.7)
    placed = f.at(table, x, y, _HALF * int(f.random.integers(2)) + float(f.random.normal(0, 0.05))) or f.anywhere(
        table, 20, 0.8
    )
    if placed and f.chance(0.3):
        f.lay_rug(
            placed.x, placed.y, placed.turn, table.size[0] + f.uniform(0.8, 1.4), table.size[1] + f.uniform(0.8, 1.4)
        )
    f.chairs_around(placed)
    f.clutter(placed, 6, KITCHEN)
    return placed


def _dining(f: Furnisher) -> None:
    _dining_group(f)
    f.sideboards(1 + f.few(0.6))
    f.shelves(f.few(0.5))


def _bedroom(f: Furnisher) -> None:
    bed = f.by_wall(f.assets.pick("bed", at_most=(2.2, 2.4, 1.5), at_least=(0.8, 1.8, 0.2)), front=0.4)
    f.bedside(bed)
    f.wardrobes(1 + f.few(0.3))
    f.sideboards(f.few(0.7))
    if f.chance(0.4):
        f.desk_place(_desk(f))
    if f.chance(0.3):
        f.in_corner(f.assets.pick("armchair"))
    for _ in range(f.few(1.0)):
        f.on(bed, props.cushion(f.random, f.finishes) if f.chance(0.5) else props.bag(f.random, f.finishes), lowest=0.3)
    f.shelves(f.few(0.4))


def _desk(f: Furnisher, walls: Sequence[int] | None = None) -> Placed | None:
    desk = f.assets.pick("desk", at_most=(2.0, 1.0, 1.3)) if f.chance(0.5) else None
    desk = desk or built_furniture.table(
        f.random, f.finishes, f.palette, f.uniform(1.0, 1.9), f.uniform(0.55, 0.85), f.uniform(0.7, 0.76)
    )
    return f.by_wall(desk, walls, front=0.7)


def _office(f: Furnisher) -> None:
    area = f.plan.width * f.plan.depth
    if area > 18 and f.chance(0.6):
        _desk_islands(f)
    for _ in range(1 + int(area > 12) + f.few(0.6)):
        f.desk_place(_desk(f))
    f.shelves(1 + f.few(0.8), OFFICE)
    f.sideboards(f.few(0.7))
    if f.chance(0.5):
        f.hang(pictures.board(f.random, f.finishes, f.palette), f.uniform(0.85, 1.1))
    if area > 20 and f.chance(0.3):
        _dining_group(f)


def _desk_islands(f: Furnisher) -> None:
    """Pairs of desks that face each other."""
    desk = f.assets.pick("desk", at_most=(1.8, 0.9, 0.8)) or built_furniture.table(
        f.random, f.finishes, f.palette, 1.4, 0.75, 0.73
    )
    turn = _HALF * int(f.random.integers(2))
    for _ in range(1 + f.few(1.0)):
        x, y = f.uniform(1.2, max(1.3, f.plan.width - 1.2)), f.uniform(1.2, max(1.3, f.plan.depth - 1.2))
        first = f.at(desk, x, y, turn)
        if first:
            second = f.at(desk, *first.point(0.0, desk.size[1] + 0.02), turn + np.pi)
            f.desk_place(first)
            f.desk_place(second)


def _kitchen(f: Furnisher) -> None:
    needed = ["fridge", "oven|stove|cooker", "sink", "dish|wash"]
    f.random.shuffle(needed)
    order = sorted(range(len(f.plan.walls)), key=lambda i: -f.plan.walls[i].length * f.uniform(0.6, 1.0))
    for wall in order[: 1 + int(f.chance(0.55)) + int(f.chance(0.15))]:
        kitchen_row(f, wall, needed)
    if f.chance(0.7):
        _dining_group(f)
    f.shelves(f.few(0.3), KITCHEN)


def _bathroom(f: Furnisher) -> None:
    f.by_wall(
        f.assets.pick("bathroom", at_least=(0.7, 0.7, 0.4), at_most=(1.9, 1.7, 2.3), like="bath|shower|tub"), front=0.4
    )
    basin = f.by_wall(f.assets.pick("bathroom", at_most=(1.6, 0.8, 2.3), like="washbasin|vanity|lavatory"), front=0.5)
    if basin and basin.thing.size[2] < 1.2:
        f.hang(pictures.mirror(f.random, f.finishes), max(1.05, basin.thing.size[2] + 0.1), above=basin)
        f.clutter(basin, 3, BATH)
    f.by_wall(f.assets.pick("bathroom", at_most=(0.7, 0.9, 1.2), like="toilet"), front=0.4)
    if f.chance(0.4):
        machine = f.by_wall(f.assets.pick("appliance", at_most=(0.8, 0.8, 1.1), like="wash|dry"))
        f.clutter(machine, 2, BATH)
    for _ in range(f.few(1.0)):
        hung = f.assets.pick("bathroom_wall", at_most=(0.9, 0.5, 1.2))
        f.hang(hung, hung.elevation if hung else 1.0)
    if f.chance(0.6):
        f.lay_rug(f.plan.width / 2, f.plan.depth / 2, 0.0, f.uniform(0.5, 0.9), f.uniform(0.4, 0.6))
    f.sideboards(f.few(0.4))
    f.shelves(f.few(0.3), BATH)


def _children(f: Furnisher) -> None:
    bed = f.by_wall(f.assets.pick("bed", at_most=(1.3, 2.4, 2.1)), front=0.3)
    for _ in range(f.few(1.5)):
        f.on(bed, f.small_thing(TOYS), lowest=0.3)
    f.desk_place(_desk(f))
    f.shelves(1 + f.few(0.6), TOYS)
    f.wardrobes(1)
    f.lay_rug(
        f.plan.width * f.uniform(0.4, 0.6),
        f.plan.depth * f.uniform(0.4, 0.6),
        0.0,
        f.uniform(1.0, 2.0),
        f.uniform(1.0, 1.6),
    )
    for _ in range(f.few(5)):
        toy = f.assets.pick("floor_thing", at_most=(0.7, 0.7, 0.9)) if f.chance(0.5) else f.small_thing(TOYS)
        f.anywhere(toy, 5)


def _storage(f: Furnisher) -> None:
    for _ in range(1 + f.few(0.5)):
        if f.chance(0.6):
            bench = f.by_wall(
                built_furniture.workbench(f.random, f.finishes, f.palette, f.uniform(1.0, 2.4)), front=0.6
            )
            f.clutter(bench, 9)
            if f.chance(0.5):
                f.hang(pictures.board(f.random, f.finishes, f.palette), 1.1, above=bench)
    for _ in range(1 + f.few(1.6)):
        height = min(f.uniform(1.4, 2.2), min(f.plan.ceiling.heights) - 0.1)
        rack = f.by_wall(built_furniture.shelving(f.random, f.finishes, f.palette, height), front=0.3)
        if rack:
            for _ in range(int(4 + 14 * f.crowd)):
                f.on(
                    rack,
                    props.carton(f.random, f.finishes, 0.4) if f.chance(0.6) else f.small_thing(),
                    turn=float(f.random.normal(0, 0.1)),
                )
    f.wardrobes(f.few(0.4))
    for _ in range(f.few(1.0)):
        f.by_wall(
            f.assets.pick("appliance") if f.chance(0.4) else f.assets.pick("large_thing", at_most=(2.0, 2.0, 2.2))
        )
    f.boxes(3 + f.few(7))
    for _ in range(f.few(1.0)):
        f.anywhere(f.assets.pick(str(f.random.choice(["chair", "stool", "table", "armchair"]))))


def _corridor(f: Furnisher) -> None:
    f.sideboards(f.few(1.0))
    f.wardrobes(f.few(0.4))
    if f.chance(0.4):
        f.by_wall(f.assets.pick("bench") or f.assets.pick("stool"))
    if f.chance(0.5):
        long = f.plan.depth > f.plan.width
        size = (f.uniform(0.6, 0.9), f.uniform(1.5, 3.0))
        f.lay_rug(f.plan.width / 2, f.plan.depth / 2, 0.0, *(size if long else size[::-1]))


def _meeting(f: Furnisher) -> None:
    f.hang(pictures.board(f.random, f.finishes, f.palette), f.uniform(0.85, 1.1))
    if f.chance(0.5):
        size = min(f.plan.width, f.plan.depth)
        table = built_furniture.table(
            f.random, f.finishes, f.palette, f.uniform(1.8, max(2.0, size)), f.uniform(0.9, 1.3), f.uniform(0.71, 0.76)
        )
        placed = f.at(table, f.plan.width / 2, f.plan.depth / 2, 0.0 if f.plan.width > f.plan.depth else _HALF)
        f.chairs_around(placed, 0.85)
        f.clutter(placed, 7, OFFICE)
    else:
        _class_rows(f)
    f.sideboards(f.few(0.8))
    f.shelves(f.few(0.6), OFFICE)


def _class_rows(f: Furnisher) -> None:
    desk = built_furniture.table(f.random, f.finishes, f.palette, f.uniform(1.1, 1.5), 0.6, f.uniform(0.7, 0.76))
    chair = f.assets.pick("chair", at_most=(0.6, 0.65, 1.1))
    for y in np.arange(1.6, f.plan.depth - 0.8, f.uniform(1.3, 1.6)):
        for x in np.arange(1.0, f.plan.width - 0.7, desk.size[0] + f.uniform(0.15, 0.7)):
            placed = f.at(desk, float(x), float(y), float(f.random.normal(0, 0.04)))
            for side in (-0.25, 0.25):
                if placed and chair and f.chance(0.9):
                    f.seat(chair, placed, side * desk.size[0], -desk.size[1] / 2, (-0.15, 0.2))
            f.clutter(placed, 1.5, OFFICE)


PROGRAMMES: dict[str, Callable[[Furnisher], None]] = {
    "living": _living,
    "bedroom": _bedroom,
    "office": _office,
    "kitchen": _kitchen,
    "dining": _dining,
    "bathroom": _bathroom,
    "children": _children,
    "storage": _storage,
    "corridor": _corridor,
    "meeting": _meeting,
}


def furnish(f: Furnisher, kind: str, sills: Iterable[Opening]) -> None:
    """Everything that stands, lies and hangs in a room of a kind."""
    f.radiators()
    if f.crowd > 0.05:
        PROGRAMMES[kind](f)
    f.plants(f.few(0.8))
    f.wall_things(f.few(0.6 + 0.2 * (f.plan.width + f.plan.depth)))
    f.sills(sills)
    if kind not in ("bathroom", "meeting"):
        f.boxes(f.few(2.4))
    if f.chance(0.3):
        f.by_wall(f.assets.pick("floor_lamp"))
