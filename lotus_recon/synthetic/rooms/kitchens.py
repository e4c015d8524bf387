"""Rows of kitchen cabinets and appliances along walls."""

from __future__ import annotations

from lotus_recon.synthetic.rooms import built_furniture
from lotus_recon.synthetic.rooms.furnisher import KITCHEN, Furnisher
from lotus_recon.synthetic.rooms.occupancy import Placed
from lotus_recon.synthetic.rooms.things import Thing

_COUNTER_M = 0.75  # what is put on counters lies above this


def kitchen_row(f: Furnisher, wall: int, needed: list[str]) -> None:
    """Base cabinets and appliances side by side along a wall, cabinets and a hood above."""
    length, along = f.plan.walls[wall].length, 0.02
    while along < length - 0.3:
        module = _module(f, needed, length - along - 0.02)
        if module is None:
            return
        placed = f.occupancy.against(module, wall, along + module.size[0] / 2, 0.0, 0.0)
        if placed is None:
            along += 0.2
            continue
        along += module.size[0] + 0.002
        if placed.thing.size[2] < 1.1:
            f.clutter(placed, 3.5 * module.size[0], KITCHEN, lowest=_COUNTER_M)
            _above_counter(f, placed)


def _module(f: Furnisher, needed: list[str], room: float) -> Thing | None:
    if needed and f.chance(0.6):
        kind = needed.pop()
        group = "appliance" if kind in ("fridge", "dish|wash") else "kitchen"
        module = f.assets.pick(group, at_most=(min(room, 1.2), 0.9, 2.3), like=kind)
        if module:
            return module
    width = min(room, f.uniform(0.4, 1.4))
    return built_furniture.kitchen_base(f.random, f.palette, width) if width > 0.28 else None


def _above_counter(f: Furnisher, base: Placed) -> None:
    width = base.thing.size[0]
    if f.chance(0.65):
        hood = "oven" in base.thing.name.lower() or "stove" in base.thing.name.lower()
        upper = f.assets.pick("kitchen_wall", at_most=(width, 0.6, 1.0), like="hood") if hood else None
        upper = upper or built_furniture.kitchen_upper(f.random, f.palette, width)
        f.hang(upper, f.uniform(1.42, 1.46), above=base)
    elif f.chance(0.4):
        shelf = f.hang(built_furniture.wall_shelf(f.random, f.finishes, f.palette), f.uniform(1.4, 1.6), above=base)
        f.clutter(shelf, 4, KITCHEN)
