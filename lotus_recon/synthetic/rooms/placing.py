"""Places for things: on the floor, by walls and in corners, on other things, on walls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lotus_recon.synthetic.rooms import built_furniture
from lotus_recon.synthetic.rooms.materials import Palette
from lotus_recon.synthetic.rooms.occupancy import LevelSurfaces, Occupancy, Placed
from lotus_recon.synthetic.rooms.plan import Plan
from lotus_recon.synthetic.rooms.things import AssetSampler, Thing

_HALF = np.pi / 2


class Placer:
    """Finds places for things in one room; what does not fit is left out."""

    def __init__(
        self,
        occupancy: Occupancy,
        assets: AssetSampler,
        palette: Palette,
        crowd: float,
        random: np.random.Generator,
    ) -> None:
        self.occupancy, self.assets, self.palette = occupancy, assets, palette
        self.finishes = assets.finishes
        self.crowd = crowd  # 0: nearly empty, 1: crowded
        self.random = random
        self._surfaces: dict[int, LevelSurfaces] = {}

    @property
    def plan(self) -> Plan:
        """Of the room."""
        return self.occupancy.plan

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
        return self.occupancy.put(thing, x, y, turn, 0.0, host)

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
            placed = self.occupancy.against(thing, wall, along, z, self.uniform(0.005, 0.05), twist)
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
            if placed := self.occupancy.put(thing, x, y, turn):
                return placed
        return None

    def in_corner(self, thing: Thing | None) -> Placed | None:
        """Where two walls meet."""
        if thing is None:
            return None
        for wall in self.random.permutation(len(self.plan.walls)):
            length, half = self._length(int(wall)), thing.size[0] / 2 + self.uniform(0.02, 0.15)
            for along in (half, length - half):
                if length > thing.size[0] and (placed := self.occupancy.against(thing, int(wall), along, 0.0, 0.05)):
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
            self.assets.pick("rug", at_most=(width * 1.3, depth * 1.3, 0.1), at_least=(0.5, 0.5, 0))
            if self.chance(0.3)
            else None
        )
        thing = thing or built_furniture.rug(self.random, self.finishes, width, depth)
        self.occupancy.lay(thing, x, y, turn + float(self.random.normal(0, 0.04)))

    def _length(self, wall: int) -> float:
        return self.plan.walls[wall].length

    def _front_free(self, thing: Thing, wall: int, along: float, front: float) -> bool:
        side = self.plan.walls[wall]
        x, y = side.point(along, thing.size[1] + 0.05 + front / 2)
        return self.occupancy.free((float(x), float(y), side.turn, thing.size[0] * 0.8, front), 0.0, 0.5)

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
        surfaces = self._surfaces.setdefault(id(host), LevelSurfaces(host.thing))
        if turn is None:
            turn = self.uniform(-np.pi, np.pi) if self.chance(0.4) else float(self.random.normal(0, 0.15))
        for _ in range(3):
            spot = surfaces.find(thing.size, turn, self.random, lowest, near)
            if spot is None:
                return None
            x, y = host.point(spot[0], spot[1])
            if placed := self.occupancy.put(thing, x, y, host.turn + turn, host.z + spot[2], host):
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
        return self.occupancy.against(thing, above.at_wall, along + float(self.random.normal(0, 0.05)), z, 0.003)
