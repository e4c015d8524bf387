"""Rooms furnished as rooms are: what belongs together stands together, by the walls, around tables, on surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms import props
from lotus_recon.synthetic.rooms.materials import Palette
from lotus_recon.synthetic.rooms.plan import Opening, Plan
from lotus_recon.synthetic.rooms.staging import Placed, Stage, Surfaces
from lotus_recon.synthetic.rooms.things import Shop, Thing

_HALF = np.pi / 2
_COUNTER_M = 0.75  # what is put on counters and desks lies above this

_OFFICE = (
    r"computer|imac|ibook|laptop|phone|pencil|pen|stapler|letter|book|calendar|printer|marker|ruler|scissors|glasses"
)
_KITCHEN = (
    r"cup|plate|bowl|bottle|glass|knife|toaster|coffee|bread|pan|blender|microwave|kettle|mixer|boiler|apples|pot"
)
_BATH = r"soap|bottle|brush|towel|comb|flacon|sponge|cosmetic|medicine|lip"
_TOYS = r"toy|bear|puzzle|doll|car|ball|rubik|plane|chess|cube"


class Furnisher:
    """Places things in one room; what does not fit is left out."""

    def __init__(
        self,
        stage: Stage,
        shop: Shop,
        palette: Palette,
        outdoors: NDArray[np.uint8],
        crowd: float,
        random: np.random.Generator,
    ) -> None:
        self.stage, self.shop, self.palette = stage, shop, palette
        self.finishes = shop.finishes
        self.crowd = crowd  # 0: nearly empty, 1: crowded
        self.random = random
        self._outdoors = outdoors
        self._covers = props.swatches(random)
        self._surfaces: dict[int, Surfaces] = {}

    @property
    def plan(self) -> Plan:
        """Of the room."""
        return self.stage.plan

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.random.random() < probability)

    def uniform(self, low: float, high: float) -> float:
        """A random number; ``high`` where there is no number between."""
        return float(self.random.uniform(min(low, high), high))

    def few(self, mean: float) -> int:
        """A random count; more in crowded rooms."""
        return int(self.random.poisson(mean * (0.3 + 1.4 * self.crowd)))

    # Places on the floor.

    def at(self, thing: Thing | None, x: float, y: float, turn: float, host: Placed | None = None) -> Placed | None:
        """On the floor at a place."""
        if thing is None:
            return None
        return self.stage.put(thing, x, y, turn, 0.0, host)

    def by_wall(
        self,
        thing: Thing | None,
        walls: Sequence[int] | None = None,
        z: float = 0.0,
        tries: int = 16,
        front: float = 0.0,
    ) -> Placed | None:
        """With its back to a wall, often in a corner; ``front``: metres that must be free before it."""
        if thing is None:
            return None
        fitting = [
            i
            for i in (range(len(self.plan.walls)) if walls is None else walls)
            if self._length(i) > thing.size[0] + 0.02
        ]
        if not fitting:
            return None
        lengths = np.array([self._length(i) for i in fitting])
        for _ in range(tries):
            wall = int(self.random.choice(fitting, p=lengths / lengths.sum()))
            half, length = thing.size[0] / 2 + 0.01, self._length(wall)
            along = self.uniform(half, length - half)
            if self.chance(0.4):
                along = half if self.chance(0.5) else length - half
            twist = float(self.random.normal(0, 0.015))
            if front and not self._front_free(thing, wall, along, front):
                continue
            placed = self.stage.against(thing, wall, along, z, self.uniform(0.005, 0.05), twist)
            if placed:
                return placed
        return None

    def anywhere(self, thing: Thing | None, tries: int = 12, margin: float = 0.0) -> Placed | None:
        """On the floor, any way round."""
        if thing is None:
            return None
        for _ in range(tries):
            x, y = self.uniform(margin, self.plan.width - margin), self.uniform(margin, self.plan.depth - margin)
            turn = self.uniform(-np.pi, np.pi) if self.chance(0.5) else _HALF * int(self.random.integers(4))
            if placed := self.stage.put(thing, x, y, turn):
                return placed
        return None

    def in_corner(self, thing: Thing | None) -> Placed | None:
        """Where two walls meet."""
        if thing is None:
            return None
        for wall in self.random.permutation(len(self.plan.walls)):
            length, half = self._length(int(wall)), thing.size[0] / 2 + self.uniform(0.02, 0.15)
            for along in (half, length - half):
                if length > thing.size[0] and (placed := self.stage.against(thing, int(wall), along, 0.0, 0.05)):
                    return placed
        return None

    def facing(
        self, thing: Thing | None, target: tuple[float, float], x: float, y: float, spread: float = 0.15
    ) -> Placed | None:
        """On the floor at (x, y), its front towards a target."""
        turn = float(np.arctan2(target[0] - x, y - target[1]) + self.random.normal(0, spread))
        return self.at(thing, x, y, turn)

    def lay_rug(self, x: float, y: float, turn: float, width: float, depth: float) -> None:
        """A rug, when there is room for it."""
        thing = (
            self.shop.pick("rug", at_most=(width * 1.3, depth * 1.3, 0.1), at_least=(0.5, 0.5, 0))
            if self.chance(0.3)
            else None
        )
        thing = thing or props.rug(self.random, self.finishes, width, depth)
        self.stage.lay(thing, x, y, turn + float(self.random.normal(0, 0.04)))

    def _length(self, wall: int) -> float:
        return self.plan.walls[wall].length

    def _front_free(self, thing: Thing, wall: int, along: float, front: float) -> bool:
        side = self.plan.walls[wall]
        x, y = side.point(along, thing.size[1] + 0.05 + front / 2)
        return self.stage.free((float(x), float(y), side.turn, thing.size[0] * 0.8, front), 0.0, 0.5)

    # Places on things and on walls.

    def on(
        self,
        host: Placed | None,
        thing: Thing | None,
        near: tuple[float, float] | None = None,
        turn: float | None = None,
        lowest: float = 0.0,
    ) -> Placed | None:
        """On a level surface of another thing: anywhere, or ``near`` a place in its axes. ``turn`` is relative."""
        if host is None or thing is None:
            return None
        surfaces = self._surfaces.setdefault(id(host), Surfaces(host.thing))
        if turn is None:
            turn = self.uniform(-np.pi, np.pi) if self.chance(0.4) else float(self.random.normal(0, 0.15))
        for _ in range(3):
            spot = surfaces.find(thing.size, turn, self.random, lowest, near)
            if spot is None:
                return None
            x, y = host.point(spot[0], spot[1])
            if placed := self.stage.put(thing, x, y, host.turn + turn, host.z + spot[2], host):
                return placed
        return None

    def hang(
        self, thing: Thing | None, z: float, walls: Sequence[int] | None = None, above: Placed | None = None
    ) -> Placed | None:
        """On a wall with its lower edge at ``z``; ``above``: over the middle of what stands at the wall."""
        if thing is None:
            return None
        if above is None or above.at_wall is None:
            return self.by_wall(replace(thing, elevation=z), walls, z, tries=8)
        wall = self.plan.walls[above.at_wall]
        along = float(np.dot(np.array([above.x, above.y]) - wall.start, [np.cos(wall.turn), np.sin(wall.turn)]))
        return self.stage.against(thing, above.at_wall, along + float(self.random.normal(0, 0.05)), z, 0.003)

    def books(self, width: float, depth: float, height: float) -> Thing:
        """Books for a shelf."""
        return props.books(self.random, self._covers, width, depth, height)

    def picture(self) -> Thing:
        """For a wall."""
        found = self.shop.pick("picture") if self.chance(0.15) else None
        return found or props.picture(self.random, self.finishes, self._outdoors)

    def small_thing(self, like: str = "") -> Thing | None:
        """Something that lies about: of the catalog, paper, a vessel, books."""
        kind = self.random.random()
        if kind < 0.5:
            found = self.shop.pick("clutter", at_most=(0.5, 0.45, 0.5), like=like if self.chance(0.8) else "")
            if found:
                return found
        if kind < 0.68:
            return props.vessel(self.random, self.finishes)
        if kind < 0.82:
            return props.paper(self.random)
        if kind < 0.9:
            return self.books(self.uniform(0.05, 0.35), 0.2, 0.3)
        if kind < 0.95:
            return props.carton(self.random, self.finishes, 0.25)
        return self.shop.pick("plant", at_most=(0.35, 0.35, 0.5))

    def clutter(self, host: Placed | None, mean: float, like: str = "", lowest: float = 0.0) -> None:
        """Small things on a surface."""
        for _ in range(self.few(mean)):
            self.on(host, self.small_thing(like), lowest=lowest)

    def fill_shelf(self, shelf: Placed | None, like: str = "") -> None:
        """Books in rows, boxes and small things on all boards."""
        if shelf is None:
            return
        width, depth, height = shelf.thing.size
        rows = int(np.ceil(height / 0.33) * max(1.0, width / 0.5))
        for _ in range(int(rows * (0.35 + 1.2 * self.crowd))):
            kind = self.random.random()
            if kind < 0.55:
                thing: Thing | None = self.books(
                    self.uniform(0.12, min(0.6, width * 0.9)), min(depth * 0.85, 0.26), self.uniform(0.2, 0.34)
                )
            elif kind < 0.7:
                thing = props.carton(self.random, self.finishes, max(0.13, min(0.35, depth)))
            else:
                thing = self.small_thing(like)
            self.on(shelf, thing, turn=float(self.random.normal(0, 0.03)))

    # Groups of things.

    def chairs_around(self, table: Placed | None, share: float = 0.9) -> None:
        """Chairs of one kind on the sides of a table, tucked in or pulled out."""
        chair = self.shop.pick("chair", at_most=(0.65, 0.75, 1.2))
        if table is None or chair is None:
            return
        w, d, _ = table.thing.size
        seats = []
        for side in (-1, 1):
            count = max(1, int((w - 0.1) // 0.62))
            seats += [
                (x, side * d / 2, 0.0 if side < 0 else np.pi)
                for x in (np.arange(count) - (count - 1) / 2) * w / max(count, 1)
            ]
            if d > 0.75:
                seats.append((side * w / 2, 0.0, _HALF * side))
        for x, y, _ in seats:
            if self.chance(share):
                self.seat(chair, table, float(x), float(y))

    def seat(
        self, chair: Thing, table: Placed, x: float, y: float, reach: tuple[float, float] = (-0.2, 0.25)
    ) -> Placed | None:
        """A chair at a place (x, y) on the edge of a table, in the axes of the table; it faces the table."""
        w, d, _ = table.thing.size
        ends = abs(abs(x) - w / 2) < 1e-6 and abs(y) < d / 2 - 1e-6
        out = (np.sign(x), 0.0) if ends else (0.0, np.sign(y))
        for _ in range(3):
            away = chair.size[1] / 2 + self.uniform(*reach)
            px, py = table.point(x + out[0] * away, y + out[1] * away)
            target = table.point(x - out[0], y - out[1])
            turn = float(
                np.arctan2(target[0] - px, py - target[1]) + self.random.normal(0, 0.25 if self.chance(0.3) else 0.05)
            )
            if placed := self.at(chair, px, py, turn, table):
                return placed
        return None

    def desk_place(self, desk: Placed | None) -> None:
        """What makes a working place of a desk: a chair, a screen or a laptop, and clutter."""
        if desk is None:
            return
        w, d, _ = desk.thing.size
        chair = self.shop.pick(
            "chair", at_most=(0.75, 0.75, 1.3), like="chair" if self.chance(0.5) else "office|desk|swivel"
        )
        if chair:
            self.seat(chair, desk, self.uniform(-0.1, 0.1) * w, -d / 2, (-0.1, 0.4))
        x = self.uniform(-0.2, 0.2) * w
        kind = self.random.random()
        if kind < 0.6:
            for i in range(1 + int(self.chance(0.3))):
                monitor = (
                    props.screen(self.random, self.finishes)
                    if self.chance(0.7)
                    else self.shop.pick("tv", at_most=(0.7, 0.5, 0.6))
                )
                self.on(desk, monitor, (x + 0.6 * i, d * 0.22), float(self.random.normal(0, 0.15)), 0.5)
            self.on(
                desk, props.keyboard(self.random, self.finishes), (x, -d * 0.2), float(self.random.normal(0, 0.08)), 0.5
            )
        elif kind < 0.85:
            self.on(
                desk, props.laptop(self.random, self.finishes), (x, -d * 0.05), float(self.random.normal(0, 0.2)), 0.5
            )
        if self.chance(0.4):
            self.on(desk, self.shop.pick("table_lamp"), (w * 0.38 * self.random.choice([-1, 1]), d * 0.25), lowest=0.5)
        self.clutter(desk, 6, _OFFICE, lowest=0.4)

    def sitting_group(self, sofa: Placed | None) -> None:
        """Before a sofa: a rug, a low table, armchairs beside it, cushions, and a lamp."""
        if sofa is None:
            return
        front = -sofa.thing.size[1] / 2
        low = self.shop.pick("coffee_table", at_most=(1.5, 0.9, 0.6)) if self.chance(0.85) else None
        center = sofa.point(self.uniform(-0.15, 0.15), front - self.uniform(0.7, 0.95))
        if self.chance(0.65):
            self.lay_rug(*center, sofa.turn, self.uniform(1.6, 3.0), self.uniform(1.2, 2.2))
        table = self.at(low, *center, sofa.turn + float(self.random.normal(0, 0.08)))
        self.clutter(table, 4)
        armchair = self.shop.pick("armchair")
        for side in (-1, 1):
            if armchair and self.chance(0.25 + 0.4 * self.crowd):
                place = sofa.point(side * self.uniform(1.2, 1.7), front - self.uniform(0.6, 1.2))
                self.facing(armchair, center, *place, 0.3)
        for side in (-1, 1):
            beside = sofa.thing.size[0] / 2
            if self.chance(0.35):
                stand = self.shop.pick("bedside", at_most=(0.6, 0.6, 0.7)) or self.shop.pick(
                    "coffee_table", at_most=(0.7, 0.7, 0.7)
                )
                spot = sofa.point(side * (beside + 0.35), 0.1)
                placed = self.at(stand, *spot, sofa.turn)
                self.on(placed, self.shop.pick("table_lamp"), (0.0, 0.0))
                self.clutter(placed, 1)
            elif self.chance(0.3):
                self.at(self.shop.pick("floor_lamp"), *sofa.point(side * (beside + 0.3), 0.2), sofa.turn)
        for _ in range(self.few(1.2)):
            x = self.uniform(-0.35, 0.35) * sofa.thing.size[0]
            self.on(sofa, props.cushion(self.random, self.finishes), (x, 0.05), float(self.random.normal(0, 0.3)), 0.25)

    def television(self, sofa: Placed | None) -> None:
        """A low cabinet with a television opposite a sofa, else by any wall."""
        unit = self.shop.pick("tv_unit") if self.chance(0.7) else None
        unit = unit or props.sideboard(self.random, self.palette, self.uniform(1.0, 2.2), 0.42, self.uniform(0.35, 0.6))
        placed = self.by_wall(unit, self.walls_opposite(sofa), front=0.6) or self.by_wall(unit)
        if self.chance(0.35):
            self.hang(self.shop.pick("wall_tv") or self._flat_tv(), self.uniform(0.8, 1.1), above=placed)
        else:
            tv = self.shop.pick("tv", at_most=(1.4, 0.5, 1.0)) if self.chance(0.5) else self._flat_tv()
            self.on(placed, tv, (0.0, 0.0), float(self.random.normal(0, 0.1)))
        self.clutter(placed, 2)

    def _flat_tv(self) -> Thing:
        return props.screen(self.random, self.finishes, self.uniform(0.7, 1.3))

    def walls_opposite(self, placed: Placed | None) -> list[int] | None:
        """The walls that a thing faces."""
        if placed is None:
            return None
        facing = [
            i
            for i, wall in enumerate(self.plan.walls)
            if np.cos(wall.turn - placed.turn - np.pi) > 0.7 and wall.length > 1
        ]
        return facing or None

    def bedside(self, bed: Placed | None) -> None:
        """Night tables and lamps at the head of a bed, a rug, a picture above."""
        if bed is None:
            return
        w, d, _ = bed.thing.size
        stand = self.shop.pick("bedside", at_most=(0.7, 0.6, 0.8)) or props.sideboard(
            self.random, self.palette, 0.45, 0.4, 0.5
        )
        for side in (-1, 1):
            if self.chance(0.8):
                x = side * (w / 2 + stand.size[0] / 2 + self.uniform(0.03, 0.15))
                placed = self.at(stand, *bed.point(x, d / 2 - stand.size[1] / 2 - 0.01), bed.turn)
                if self.chance(0.7):
                    self.on(placed, self.shop.pick("table_lamp"), (0.0, 0.05))
                self.clutter(placed, 1.5)
        if self.chance(0.5):
            self.lay_rug(
                *bed.point(self.uniform(-0.3, 0.3), -d * 0.3),
                bed.turn,
                w + self.uniform(0.4, 1.2),
                self.uniform(1.2, 2.0),
            )
        if self.chance(0.6):
            self.hang(self.picture(), self.uniform(1.2, 1.5), above=bed)

    def shelves(self, count: int, like: str = "") -> None:
        """Bookcases by the walls, filled."""
        for _ in range(count):
            height = min(self.uniform(0.8, 2.2), min(self.plan.ceiling.heights) - 0.1)
            shelf = self.shop.pick("shelf", at_most=(2.0, 0.6, height)) if self.chance(0.4) else None
            placed = self.by_wall(shelf or props.shelving(self.random, self.finishes, self.palette, height), front=0.3)
            self.fill_shelf(placed, like)

    def sideboards(self, count: int) -> None:
        """Cabinets and chests by the walls, with things on top."""
        for _ in range(count):
            cabinet = self.shop.pick("cabinet", at_most=(2.2, 0.8, 2.0)) if self.chance(0.5) else None
            size = self.uniform(0.6, 1.8), self.uniform(0.35, 0.5), self.uniform(0.6, 1.1)
            placed = self.by_wall(cabinet or props.sideboard(self.random, self.palette, *size), front=0.4)
            self.clutter(placed, 3)
            if placed and placed.thing.size[2] < 1.2:
                self.on(placed, self.shop.pick("table_lamp") if self.chance(0.4) else None)
                if self.chance(0.3):
                    self.hang(props.mirror(self.random, self.finishes), placed.thing.size[2] + 0.15, above=placed)

    def wardrobes(self, count: int) -> None:
        """Of the catalog or built in."""
        for _ in range(count):
            high = min(self.plan.ceiling.heights) - 0.08
            found = self.shop.pick("wardrobe", at_most=(2.6, 0.8, high)) if self.chance(0.5) else None
            self.by_wall(
                found
                or props.wardrobe(self.random, self.palette, self.uniform(0.8, 2.6), min(high, self.uniform(1.9, 2.5))),
                front=0.5,
            )

    def boxes(self, count: int) -> None:
        """Boxes and bags on the floor, boxes also in piles."""
        for _ in range(count):
            kind = self.random.random()
            if kind < 0.45:
                box = props.carton(self.random, self.finishes)
                placed = self.by_wall(box, tries=6) if self.chance(0.7) else self.anywhere(box, 6)
                while placed and self.chance(0.4) and placed.z < 1.2:
                    placed = self.on(placed, props.carton(self.random, self.finishes, 0.45), (0.0, 0.0))
            elif kind < 0.6:
                self.anywhere(props.bag(self.random, self.finishes), 6)
            else:
                thing = self.shop.pick("floor_thing", at_most=(0.9, 0.9, 1.2))
                if self.chance(0.6):
                    self.by_wall(thing, tries=6)
                else:
                    self.anywhere(thing, 6)

    def plants(self, count: int) -> None:
        """In corners and by windows."""
        for _ in range(count):
            plant = self.shop.pick("plant", at_least=(0, 0, 0.4), at_most=(1.2, 1.2, 2.2))
            if self.chance(0.6):
                self.in_corner(plant)
            else:
                self.by_wall(plant)

    def wall_things(self, count: int) -> None:
        """Pictures at eye level, sometimes a clock, a shelf, a mirror."""
        for _ in range(count):
            kind = self.random.random()
            if kind < 0.6:
                thing = self.picture()
                self.hang(thing, self.uniform(1.45, 1.65) - thing.size[2] / 2)
            elif kind < 0.68:
                self.hang(props.clock(self.random, self.finishes), self.uniform(1.6, 1.9))
            elif kind < 0.78:
                self.hang(props.mirror(self.random, self.finishes), self.uniform(0.9, 1.2))
            elif kind < 0.94:
                shelf = self.hang(props.wall_shelf(self.random, self.finishes, self.palette), self.uniform(1.1, 1.8))
                self.fill_shelf(shelf)
            else:
                thing_ = self.shop.pick("wall_thing", at_most=(0.9, 0.4, 0.9))
                self.hang(thing_, thing_.elevation if thing_ and thing_.elevation > 0 else 1.2)

    def radiators(self) -> None:
        """Below windows."""
        for opening in self.plan.openings:
            if opening.kind == "window" and opening.bottom > 0.55 and self.chance(0.5):
                height = self.uniform(0.3, min(0.6, opening.bottom - 0.2))
                thing = props.radiator(self.random, self.finishes, opening.width * self.uniform(0.6, 1.0), height)
                self.stage.against(thing, opening.wall, (opening.start + opening.end) / 2, 0.0, 0.03)

    def sills(self, sills: Iterable[Opening]) -> None:
        """Things on window boards."""
        for opening in sills:
            for _ in range(self.few(1.0)):
                thing = self.shop.pick("plant", at_most=(0.3, 0.2, 0.5)) if self.chance(0.5) else self.small_thing()
                if thing and max(thing.size[:2]) < 0.22 and thing.size[2] < 0.45:
                    wall = self.plan.walls[opening.wall]
                    x, y = wall.point(self.uniform(opening.start + 0.12, opening.end - 0.12), 0.02 + thing.size[1] / 4)
                    self.stage.rest(thing, float(x), float(y), wall.turn, opening.bottom + 0.005)

    def kitchen_row(self, wall: int, needed: list[str]) -> None:
        """Base cabinets and appliances side by side along a wall, cabinets and a hood above."""
        length, along = self._length(wall), 0.02
        while along < length - 0.3:
            module = self._kitchen_module(needed, length - along - 0.02)
            if module is None:
                return
            placed = self.stage.against(module, wall, along + module.size[0] / 2, 0.0, 0.0)
            if placed is None:
                along += 0.2
                continue
            along += module.size[0] + 0.002
            if placed.thing.size[2] < 1.1:
                self.clutter(placed, 3.5 * module.size[0], _KITCHEN, lowest=_COUNTER_M)
                self._above_counter(placed)

    def _kitchen_module(self, needed: list[str], room: float) -> Thing | None:
        if needed and self.chance(0.6):
            kind = needed.pop()
            group = "appliance" if kind in ("fridge", "dish|wash") else "kitchen"
            found = self.shop.pick(group, at_most=(min(room, 1.2), 0.9, 2.3), like=kind)
            if found:
                return found
        width = min(room, self.uniform(0.4, 1.4))
        return props.kitchen_base(self.random, self.palette, width) if width > 0.28 else None

    def _above_counter(self, base: Placed) -> None:
        width = base.thing.size[0]
        if self.chance(0.65):
            hood = "oven" in base.thing.name.lower() or "stove" in base.thing.name.lower()
            upper = self.shop.pick("kitchen_wall", at_most=(width, 0.6, 1.0), like="hood") if hood else None
            upper = upper or props.kitchen_upper(self.random, self.palette, width)
            self.hang(upper, self.uniform(1.42, 1.46), above=base)
        elif self.chance(0.4):
            shelf = self.hang(
                props.wall_shelf(self.random, self.finishes, self.palette), self.uniform(1.4, 1.6), above=base
            )
            self.clutter(shelf, 4, _KITCHEN)


def _living(f: Furnisher) -> None:
    sofa_model = f.shop.pick("sofa", at_most=(min(3.0, f.plan.width), 2.0, 1.2))
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
        f.by_wall(f.shop.pick("large_thing", at_most=(2.0, 1.2, 2.0)))


def _dining_group(f: Furnisher) -> Placed | None:
    size = f.uniform(0.8, 2.0), f.uniform(0.75, 1.0)
    table = f.shop.pick("table", at_most=(2.4, 1.4, 0.95)) if f.chance(0.6) else None
    table = table or props.table(f.random, f.finishes, f.palette, *size, f.uniform(0.7, 0.78))
    x, y = f.plan.width * f.uniform(0.3, 0.7), f.plan.depth * f.uniform(0.3, 0.7)
    placed = f.at(table, x, y, _HALF * int(f.random.integers(2)) + float(f.random.normal(0, 0.05))) or f.anywhere(
        table, 20, 0.8
    )
    if placed and f.chance(0.3):
        f.lay_rug(
            placed.x, placed.y, placed.turn, table.size[0] + f.uniform(0.8, 1.4), table.size[1] + f.uniform(0.8, 1.4)
        )
    f.chairs_around(placed)
    f.clutter(placed, 6, _KITCHEN)
    return placed


def _dining(f: Furnisher) -> None:
    _dining_group(f)
    f.sideboards(1 + f.few(0.6))
    f.shelves(f.few(0.5))


def _bedroom(f: Furnisher) -> None:
    bed = f.by_wall(f.shop.pick("bed", at_most=(2.2, 2.4, 1.5), at_least=(0.8, 1.8, 0.2)), front=0.4)
    f.bedside(bed)
    f.wardrobes(1 + f.few(0.3))
    f.sideboards(f.few(0.7))
    if f.chance(0.4):
        f.desk_place(_desk(f))
    if f.chance(0.3):
        f.in_corner(f.shop.pick("armchair"))
    for _ in range(f.few(1.0)):
        f.on(bed, props.cushion(f.random, f.finishes) if f.chance(0.5) else props.bag(f.random, f.finishes), lowest=0.3)
    f.shelves(f.few(0.4))


def _desk(f: Furnisher, walls: Sequence[int] | None = None) -> Placed | None:
    desk = f.shop.pick("desk", at_most=(2.0, 1.0, 1.3)) if f.chance(0.5) else None
    desk = desk or props.table(
        f.random, f.finishes, f.palette, f.uniform(1.0, 1.9), f.uniform(0.55, 0.85), f.uniform(0.7, 0.76)
    )
    return f.by_wall(desk, walls, front=0.7)


def _office(f: Furnisher) -> None:
    area = f.plan.width * f.plan.depth
    if area > 18 and f.chance(0.6):
        _desk_islands(f)
    for _ in range(1 + int(area > 12) + f.few(0.6)):
        f.desk_place(_desk(f))
    f.shelves(1 + f.few(0.8), _OFFICE)
    f.sideboards(f.few(0.7))
    if f.chance(0.5):
        f.hang(props.board(f.random, f.finishes, f.palette), f.uniform(0.85, 1.1))
    if area > 20 and f.chance(0.3):
        _dining_group(f)


def _desk_islands(f: Furnisher) -> None:
    """Pairs of desks that face each other."""
    desk = f.shop.pick("desk", at_most=(1.8, 0.9, 0.8)) or props.table(f.random, f.finishes, f.palette, 1.4, 0.75, 0.73)
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
        f.kitchen_row(wall, needed)
    if f.chance(0.7):
        _dining_group(f)
    f.shelves(f.few(0.3), _KITCHEN)


def _bathroom(f: Furnisher) -> None:
    f.by_wall(
        f.shop.pick("bathroom", at_least=(0.7, 0.7, 0.4), at_most=(1.9, 1.7, 2.3), like="bath|shower|tub"), front=0.4
    )
    basin = f.by_wall(f.shop.pick("bathroom", at_most=(1.6, 0.8, 2.3), like="washbasin|vanity|lavatory"), front=0.5)
    if basin and basin.thing.size[2] < 1.2:
        f.hang(props.mirror(f.random, f.finishes), max(1.05, basin.thing.size[2] + 0.1), above=basin)
        f.clutter(basin, 3, _BATH)
    f.by_wall(f.shop.pick("bathroom", at_most=(0.7, 0.9, 1.2), like="toilet"), front=0.4)
    if f.chance(0.4):
        machine = f.by_wall(f.shop.pick("appliance", at_most=(0.8, 0.8, 1.1), like="wash|dry"))
        f.clutter(machine, 2, _BATH)
    for _ in range(f.few(1.0)):
        hung = f.shop.pick("bathroom_wall", at_most=(0.9, 0.5, 1.2))
        f.hang(hung, hung.elevation if hung else 1.0)
    if f.chance(0.6):
        f.lay_rug(f.plan.width / 2, f.plan.depth / 2, 0.0, f.uniform(0.5, 0.9), f.uniform(0.4, 0.6))
    f.sideboards(f.few(0.4))
    f.shelves(f.few(0.3), _BATH)


def _children(f: Furnisher) -> None:
    bed = f.by_wall(f.shop.pick("bed", at_most=(1.3, 2.4, 2.1)), front=0.3)
    for _ in range(f.few(1.5)):
        f.on(bed, f.small_thing(_TOYS), lowest=0.3)
    f.desk_place(_desk(f))
    f.shelves(1 + f.few(0.6), _TOYS)
    f.wardrobes(1)
    f.lay_rug(
        f.plan.width * f.uniform(0.4, 0.6),
        f.plan.depth * f.uniform(0.4, 0.6),
        0.0,
        f.uniform(1.0, 2.0),
        f.uniform(1.0, 1.6),
    )
    for _ in range(f.few(5)):
        toy = f.shop.pick("floor_thing", at_most=(0.7, 0.7, 0.9)) if f.chance(0.5) else f.small_thing(_TOYS)
        f.anywhere(toy, 5)


def _storage(f: Furnisher) -> None:
    for _ in range(1 + f.few(0.5)):
        if f.chance(0.6):
            bench = f.by_wall(props.workbench(f.random, f.finishes, f.palette, f.uniform(1.0, 2.4)), front=0.6)
            f.clutter(bench, 9)
            if f.chance(0.5):
                f.hang(props.board(f.random, f.finishes, f.palette), 1.1, above=bench)
    for _ in range(1 + f.few(1.6)):
        height = min(f.uniform(1.4, 2.2), min(f.plan.ceiling.heights) - 0.1)
        rack = f.by_wall(props.shelving(f.random, f.finishes, f.palette, height), front=0.3)
        if rack:
            for _ in range(int(4 + 14 * f.crowd)):
                f.on(
                    rack,
                    props.carton(f.random, f.finishes, 0.4) if f.chance(0.6) else f.small_thing(),
                    turn=float(f.random.normal(0, 0.1)),
                )
    f.wardrobes(f.few(0.4))
    for _ in range(f.few(1.0)):
        f.by_wall(f.shop.pick("appliance") if f.chance(0.4) else f.shop.pick("large_thing", at_most=(2.0, 2.0, 2.2)))
    f.boxes(3 + f.few(7))
    for _ in range(f.few(1.0)):
        f.anywhere(f.shop.pick(str(f.random.choice(["chair", "stool", "table", "armchair"]))))


def _corridor(f: Furnisher) -> None:
    f.sideboards(f.few(1.0))
    f.wardrobes(f.few(0.4))
    if f.chance(0.4):
        f.by_wall(f.shop.pick("bench") or f.shop.pick("stool"))
    if f.chance(0.5):
        long = f.plan.depth > f.plan.width
        size = (f.uniform(0.6, 0.9), f.uniform(1.5, 3.0))
        f.lay_rug(f.plan.width / 2, f.plan.depth / 2, 0.0, *(size if long else size[::-1]))


def _meeting(f: Furnisher) -> None:
    f.hang(props.board(f.random, f.finishes, f.palette), f.uniform(0.85, 1.1))
    if f.chance(0.5):
        size = min(f.plan.width, f.plan.depth)
        table = props.table(
            f.random, f.finishes, f.palette, f.uniform(1.8, max(2.0, size)), f.uniform(0.9, 1.3), f.uniform(0.71, 0.76)
        )
        placed = f.at(table, f.plan.width / 2, f.plan.depth / 2, 0.0 if f.plan.width > f.plan.depth else _HALF)
        f.chairs_around(placed, 0.85)
        f.clutter(placed, 7, _OFFICE)
    else:
        _class_rows(f)
    f.sideboards(f.few(0.8))
    f.shelves(f.few(0.6), _OFFICE)


def _class_rows(f: Furnisher) -> None:
    desk = props.table(f.random, f.finishes, f.palette, f.uniform(1.1, 1.5), 0.6, f.uniform(0.7, 0.76))
    chair = f.shop.pick("chair", at_most=(0.6, 0.65, 1.1))
    for y in np.arange(1.6, f.plan.depth - 0.8, f.uniform(1.3, 1.6)):
        for x in np.arange(1.0, f.plan.width - 0.7, desk.size[0] + f.uniform(0.15, 0.7)):
            placed = f.at(desk, float(x), float(y), float(f.random.normal(0, 0.04)))
            for side in (-0.25, 0.25):
                if placed and chair and f.chance(0.9):
                    f.seat(chair, placed, side * desk.size[0], -desk.size[1] / 2, (-0.15, 0.2))
            f.clutter(placed, 1.5, _OFFICE)


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
        f.by_wall(f.shop.pick("floor_lamp"))
