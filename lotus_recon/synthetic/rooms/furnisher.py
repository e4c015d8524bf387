"""Groups of things that belong together: a set table, a place to work, a sofa with what stands around it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms import built_furniture, pictures, props
from lotus_recon.synthetic.rooms.materials import Palette
from lotus_recon.synthetic.rooms.occupancy import Occupancy, Placed
from lotus_recon.synthetic.rooms.placing import Placer
from lotus_recon.synthetic.rooms.plan import Opening
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.things import AssetSampler, Thing

OFFICE = (
    r"computer|imac|ibook|laptop|phone|pencil|pen|stapler|letter|book|calendar|printer|marker|ruler|scissors|glasses"
)
KITCHEN = r"cup|plate|bowl|bottle|glass|knife|toaster|coffee|bread|pan|blender|microwave|kettle|mixer|boiler|apples|pot"
BATH = r"soap|bottle|brush|towel|comb|flacon|sponge|cosmetic|medicine|lip"
TOYS = r"toy|bear|puzzle|doll|car|ball|rubik|plane|chess|cube"


class Furnisher(Placer):
    """Places what belongs together."""

    def __init__(
        self,
        occupancy: Occupancy,
        assets: AssetSampler,
        palette: Palette,
        outdoors: NDArray[np.uint8],
        crowd: float,
        random: np.random.Generator,
    ) -> None:
        super().__init__(occupancy, assets, palette, crowd, random)
        self._outdoors = outdoors
        self._covers: Material = props.swatches(random)

    def books(self, width: float, depth: float, height: float) -> Thing:
        """Books for a shelf."""
        return props.books(self.random, self._covers, width, depth, height)

    def picture(self) -> Thing:
        """For a wall."""
        found = self.assets.pick("picture") if self.chance(0.15) else None
        return found or pictures.picture(self.random, self.finishes, self._outdoors)

    def small_thing(self, like: str = "") -> Thing | None:
        """Something that lies about: of the catalog, paper, a vessel, books."""
        kind = self.random.random()
        if kind < 0.5:
            found = self.assets.pick("clutter", at_most=(0.5, 0.45, 0.5), like=like if self.chance(0.8) else "")
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
        return self.assets.pick("plant", at_most=(0.35, 0.35, 0.5))

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
        chair = self.assets.pick("chair", at_most=(0.65, 0.75, 1.2))
        if table is None or chair is None:
            return
        w, d, _ = table.thing.size
        seats = []
        for side in (-1, 1):
            count = max(1, int((w - 0.1) // 0.62))
            seats += [(float(x), side * d / 2) for x in (np.arange(count) - (count - 1) / 2) * w / count]
            if d > 0.75:
                seats.append((side * w / 2, 0.0))
        for x, y in seats:
            if self.chance(share):
                self.seat(chair, table, x, y)

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
        chair = self.assets.pick(
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
                    else self.assets.pick("tv", at_most=(0.7, 0.5, 0.6))
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
            self.on(
                desk, self.assets.pick("table_lamp"), (w * 0.38 * self.random.choice([-1, 1]), d * 0.25), lowest=0.5
            )
        self.clutter(desk, 6, OFFICE, lowest=0.4)

    def sitting_group(self, sofa: Placed | None) -> None:
        """Before a sofa: a rug, a low table, armchairs beside it, cushions, and a lamp."""
        if sofa is None:
            return
        front = -sofa.thing.size[1] / 2
        low = self.assets.pick("coffee_table", at_most=(1.5, 0.9, 0.6)) if self.chance(0.85) else None
        center = sofa.point(self.uniform(-0.15, 0.15), front - self.uniform(0.7, 0.95))
        if self.chance(0.65):
            self.lay_rug(*center, sofa.turn, self.uniform(1.6, 3.0), self.uniform(1.2, 2.2))
        table = self.at(low, *center, sofa.turn + float(self.random.normal(0, 0.08)))
        self.clutter(table, 4)
        armchair = self.assets.pick("armchair")
        for side in (-1, 1):
            if armchair and self.chance(0.25 + 0.4 * self.crowd):
                place = sofa.point(side * self.uniform(1.2, 1.7), front - self.uniform(0.6, 1.2))
                self.facing(armchair, center, *place, 0.3)
        for side in (-1, 1):
            beside = sofa.thing.size[0] / 2
            if self.chance(0.35):
                stand = self.assets.pick("bedside", at_most=(0.6, 0.6, 0.7)) or self.assets.pick(
                    "coffee_table", at_most=(0.7, 0.7, 0.7)
                )
                spot = sofa.point(side * (beside + 0.35), 0.1)
                placed = self.at(stand, *spot, sofa.turn)
                self.on(placed, self.assets.pick("table_lamp"), (0.0, 0.0))
                self.clutter(placed, 1)
            elif self.chance(0.3):
                self.at(self.assets.pick("floor_lamp"), *sofa.point(side * (beside + 0.3), 0.2), sofa.turn)
        for _ in range(self.few(1.2)):
            x = self.uniform(-0.35, 0.35) * sofa.thing.size[0]
            self.on(sofa, props.cushion(self.random, self.finishes), (x, 0.05), float(self.random.normal(0, 0.3)), 0.25)

    def television(self, sofa: Placed | None) -> None:
        """A low cabinet with a television opposite a sofa, else by any wall."""
        unit = self.assets.pick("tv_unit") if self.chance(0.7) else None
        unit = unit or built_furniture.sideboard(
            self.random, self.palette, self.uniform(1.0, 2.2), 0.42, self.uniform(0.35, 0.6)
        )
        placed = self.by_wall(unit, self.walls_opposite(sofa), front=0.6) or self.by_wall(unit)
        if self.chance(0.35):
            self.hang(self.assets.pick("wall_tv") or self._flat_tv(), self.uniform(0.8, 1.1), above=placed)
        else:
            tv = self.assets.pick("tv", at_most=(1.4, 0.5, 1.0)) if self.chance(0.5) else self._flat_tv()
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
        stand = self.assets.pick("bedside", at_most=(0.7, 0.6, 0.8)) or built_furniture.sideboard(
            self.random, self.palette, 0.45, 0.4, 0.5
        )
        for side in (-1, 1):
            if self.chance(0.8):
                x = side * (w / 2 + stand.size[0] / 2 + self.uniform(0.03, 0.15))
                placed = self.at(stand, *bed.point(x, d / 2 - stand.size[1] / 2 - 0.01), bed.turn)
                if self.chance(0.7):
                    self.on(placed, self.assets.pick("table_lamp"), (0.0, 0.05))
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
            shelf = self.assets.pick("shelf", at_most=(2.0, 0.6, height)) if self.chance(0.4) else None
            placed = self.by_wall(
                shelf or built_furniture.shelving(self.random, self.finishes, self.palette, height), front=0.3
            )
            self.fill_shelf(placed, like)

    def sideboards(self, count: int) -> None:
        """Cabinets and chests by the walls, with things on top."""
        for _ in range(count):
            cabinet = self.assets.pick("cabinet", at_most=(2.2, 0.8, 2.0)) if self.chance(0.5) else None
            size = self.uniform(0.6, 1.8), self.uniform(0.35, 0.5), self.uniform(0.6, 1.1)
            placed = self.by_wall(cabinet or built_furniture.sideboard(self.random, self.palette, *size), front=0.4)
            self.clutter(placed, 3)
            if placed and placed.thing.size[2] < 1.2:
                self.on(placed, self.assets.pick("table_lamp") if self.chance(0.4) else None)
                if self.chance(0.3):
                    self.hang(pictures.mirror(self.random, self.finishes), placed.thing.size[2] + 0.15, above=placed)

    def wardrobes(self, count: int) -> None:
        """Of the catalog or built in."""
        for _ in range(count):
            high = min(self.plan.ceiling.heights) - 0.08
            wardrobe = self.assets.pick("wardrobe", at_most=(2.6, 0.8, high)) if self.chance(0.5) else None
            self.by_wall(
                wardrobe
                or built_furniture.wardrobe(
                    self.random, self.palette, self.uniform(0.8, 2.6), min(high, self.uniform(1.9, 2.5))
                ),
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
                thing = self.assets.pick("floor_thing", at_most=(0.9, 0.9, 1.2))
                if self.chance(0.6):
                    self.by_wall(thing, tries=6)
                else:
                    self.anywhere(thing, 6)

    def plants(self, count: int) -> None:
        """In corners and by windows."""
        for _ in range(count):
            plant = self.assets.pick("plant", at_least=(0, 0, 0.4), at_most=(1.2, 1.2, 2.2))
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
                self.hang(pictures.clock(self.random, self.finishes), self.uniform(1.6, 1.9))
            elif kind < 0.78:
                self.hang(pictures.mirror(self.random, self.finishes), self.uniform(0.9, 1.2))
            elif kind < 0.94:
                shelf = self.hang(
                    built_furniture.wall_shelf(self.random, self.finishes, self.palette), self.uniform(1.1, 1.8)
                )
                self.fill_shelf(shelf)
            else:
                thing_ = self.assets.pick("wall_thing", at_most=(0.9, 0.4, 0.9))
                self.hang(thing_, thing_.elevation if thing_ and thing_.elevation > 0 else 1.2)

    def radiators(self) -> None:
        """Below windows."""
        for opening in self.plan.openings:
            if opening.kind == "window" and opening.bottom > 0.55 and self.chance(0.5):
                height = self.uniform(0.3, min(0.6, opening.bottom - 0.2))
                thing = built_furniture.radiator(
                    self.random, self.finishes, opening.width * self.uniform(0.6, 1.0), height
                )
                self.occupancy.against(thing, opening.wall, (opening.start + opening.end) / 2, 0.0, 0.03)

    def sills(self, sills: Iterable[Opening]) -> None:
        """Things on window boards."""
        for opening in sills:
            for _ in range(self.few(1.0)):
                thing = self.assets.pick("plant", at_most=(0.3, 0.2, 0.5)) if self.chance(0.5) else self.small_thing()
                if thing and max(thing.size[:2]) < 0.22 and thing.size[2] < 0.45:
                    wall = self.plan.walls[opening.wall]
                    x, y = wall.point(self.uniform(opening.start + 0.12, opening.end - 0.12), 0.02 + thing.size[1] / 4)
                    self.occupancy.rest(thing, float(x), float(y), wall.turn, opening.bottom + 0.005)
