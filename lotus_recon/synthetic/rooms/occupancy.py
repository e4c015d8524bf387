"""Where things stand: footprints that must not overlap, walls to stand against, and surfaces to put things on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.plan import Opening, Plan
from lotus_recon.synthetic.rooms.solids import triangle_areas, turned_pose
from lotus_recon.synthetic.rooms.things import Thing
from lotus_recon.synthetic.shapes import joined
from lotus_recon.synthetic.surfaces import tensor

_SLACK_M = 0.01  # footprints may overlap by this much
_DOOR_ZONE_M = 0.8  # free floor before a door
_WINDOW_ZONE_M = 0.16  # what stands before a window stays below it
_LEVEL_M = 0.008  # a surface is level when it is so within the footprint of what stands on it
_CANDIDATES = 12


@dataclass(frozen=True, eq=False)
class Placed:
    """A thing in the room: where its middle stands, turned by ``turn`` radians about z."""

    thing: Thing
    x: float
    y: float
    z: float
    turn: float
    host: Placed | None = None  # what it stands on or belongs to: they may overlap
    at_wall: int | None = None
    solid: bool = True  # rugs are not

    @property
    def footprint(self) -> tuple[float, float, float, float, float]:
        """x, y, turn, width, depth."""
        return self.x, self.y, self.turn, self.thing.size[0], self.thing.size[1]

    @property
    def world_from_thing(self) -> NDArray[np.float64]:
        """(4, 4)."""
        return turned_pose(self.x, self.y, self.z, self.turn)

    def point(self, right: float, back: float) -> tuple[float, float]:
        """World (x, y) of a place in the axes of the thing."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return float(self.x + c * right - s * back), float(self.y + s * right + c * back)


@dataclass(eq=False)
class Zones:
    """Oriented boxes that are taken, as arrays that grow."""

    centers: list[tuple[float, float]] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    halves: list[tuple[float, float]] = field(default_factory=list)
    heights: list[tuple[float, float]] = field(default_factory=list)
    owners: list[Placed | None] = field(default_factory=list)

    def add(
        self, footprint: tuple[float, float, float, float, float], low: float, high: float, owner: Placed | None = None
    ) -> None:
        """Take a box: footprint (x, y, turn, width, depth) from ``low`` to ``high``."""
        x, y, turn, width, depth = footprint
        self.centers.append((x, y))
        self.turns.append(turn)
        self.halves.append((width / 2, depth / 2))
        self.heights.append((low, high))
        self.owners.append(owner)

    def hits(self, footprint: tuple[float, float, float, float, float], low: float, high: float) -> NDArray[np.intp]:
        """(N,) indices of the boxes that a box overlaps by more than the slack (separating axes)."""
        if not self.centers:
            return np.zeros(0, np.intp)
        x, y, turn, width, depth = footprint
        offset = np.array(self.centers) - (x, y)
        mine, theirs = _axes(np.array([turn])), _axes(np.array(self.turns))
        half = np.array([width / 2, depth / 2]) - _SLACK_M / 2
        halves = np.array(self.halves) - _SLACK_M / 2
        cosines = np.abs(np.einsum("ij,nkj->nik", mine[0], theirs))  # my axis i, their axis k
        apart = (np.abs(offset @ mine[0].T) > half + np.einsum("nik,nk->ni", cosines, halves)).any(1)
        along_theirs = np.abs(np.einsum("nkj,nj->nk", theirs, offset))
        apart |= (along_theirs > halves + np.einsum("nik,i->nk", cosines, half)).any(1)
        levels = np.array(self.heights)
        apart |= (levels[:, 0] > high - _SLACK_M) | (levels[:, 1] < low + _SLACK_M)
        return np.flatnonzero(~apart)


def _axes(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 2): rows are the x and the y axis of each turn."""
    c, s = np.cos(turns), np.sin(turns)
    return np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)


class Occupancy:
    """The placed things of a room and its free space."""

    def __init__(self, plan: Plan, triangles: int) -> None:
        self.plan = plan
        self.triangles_left = triangles
        self.placed: list[Placed] = []
        self._zones = Zones()
        self._low = min(plan.ceiling.heights)
        for x0, y0, x1, y1 in plan.cuts:
            self._zones.add(((x0 + x1) / 2, (y0 + y1) / 2, 0.0, x1 - x0, y1 - y0), 0.0, np.inf)
        for opening in plan.openings:
            self._keep_free(opening)

    def free(
        self,
        footprint: tuple[float, float, float, float, float],
        low: float,
        high: float,
        beside: tuple[Placed | None, ...] = (),
    ) -> bool:
        """Whether a box (x, y, turn, width, depth; from ``low`` to ``high``) is in the room and overlaps nothing.

        Things ``beside`` are ignored.
        """
        x, y, turn, width, depth = footprint
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2 - 0.002, depth / 2 - 0.002)
        corners = signs @ _axes(np.array([turn]))[0] + (x, y)
        inside = (corners > 0).all() and (corners < (self.plan.width, self.plan.depth)).all()
        if not inside or (high > self._low and min(self.plan.ceiling.at(*corner) for corner in corners) < high):
            return False
        owners = [self._zones.owners[i] for i in self._zones.hits(footprint, low, high)]
        return all(owner is not None and any(owner is other for other in beside) for owner in owners)

    def put(
        self,
        thing: Thing,
        x: float,
        y: float,
        turn: float,
        z: float = 0.0,
        host: Placed | None = None,
        at_wall: int | None = None,
    ) -> Placed | None:
        """Place a thing where it is free; None where it is not."""
        width, depth, height = thing.size
        if not self.free((x, y, turn, width, depth), z, z + height, (host,)):
            return None
        return self._keep(Placed(thing, x, y, z, turn, host, at_wall))

    def lay(self, thing: Thing, x: float, y: float, turn: float, z: float = 0.0) -> Placed | None:
        """Place what others may stand on or hang before: rugs, ceiling lamps. It only has to be inside the room."""
        width, depth, height = thing.size
        corners = Placed(thing, x, y, z, turn)
        ends = [corners.point(a * width / 2, b * depth / 2) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        cells = self.plan.cells
        if not all(any(x0 <= u <= x1 and y0 <= v <= y1 for x0, y0, x1, y1 in cells) for u, v in ends):
            return None
        if min(self.plan.ceiling.at(*end) for end in ends) < z + height - 0.05:
            return None
        return self._keep(Placed(thing, x, y, z, turn, solid=False))

    def rest(self, thing: Thing, x: float, y: float, turn: float, z: float) -> Placed | None:
        """Place a thing that only has to keep clear of other things: on the sill of a window, before its panes."""
        footprint = (x, y, turn, thing.size[0], thing.size[1])
        if any(self._zones.owners[i] is not None for i in self._zones.hits(footprint, z, z + thing.size[2])):
            return None
        return self._keep(Placed(thing, x, y, z, turn))

    def against(
        self, thing: Thing, wall: int, along: float, z: float = 0.0, gap: float = 0.01, twist: float = 0.0
    ) -> Placed | None:
        """Place a thing with its back to a wall, its middle ``along`` metres from the wall's start."""
        side = self.plan.walls[wall]
        swing = abs(np.sin(twist)) * thing.size[0] / 2
        x, y = side.point(along, thing.size[1] / 2 + gap + swing)
        return self.put(thing, float(x), float(y), side.turn + twist, z, at_wall=wall)

    def _keep(self, placed: Placed) -> Placed | None:
        if placed.thing.triangles > self.triangles_left:
            return None
        self.triangles_left -= placed.thing.triangles
        if placed.solid:
            self._zones.add(placed.footprint, placed.z, placed.z + placed.thing.size[2], placed)
        self.placed.append(placed)
        return placed

    def _keep_free(self, opening: Opening) -> None:
        wall = self.plan.walls[opening.wall]
        middle = (opening.start + opening.end) / 2
        if opening.kind == "door":
            x, y = wall.point(middle, _DOOR_ZONE_M / 2)
            self._zones.add((float(x), float(y), wall.turn, opening.width + 0.1, _DOOR_ZONE_M), 0.0, opening.top)
            return
        x, y = wall.point(middle, _WINDOW_ZONE_M / 2)
        low = 0.0 if opening.bottom < 0.3 else opening.bottom - 0.04
        self._zones.add((float(x), float(y), wall.turn, opening.width + 0.3, _WINDOW_ZONE_M), low, opening.top + 0.2)


class LevelSurfaces:
    """The level surfaces of a placed thing: table tops, shelves, seats."""

    def __init__(self, thing: Thing) -> None:
        mesh = joined([part.mesh for part in thing.parts])
        self._top = thing.size[2]
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(tensor(mesh.vertices), tensor(mesh.triangles.astype(np.uint32)))
        areas, upwards = triangle_areas(mesh), triangle_areas(mesh, seen_along=2)
        level = (upwards > 0.99 * areas) & (areas > 1e-5)
        self._corners, self._areas = mesh.vertices[mesh.triangles[level]].astype(np.float64), areas[level]

    def find(
        self,
        size: tuple[float, float, float],
        turn: float,
        random: np.random.Generator,
        lowest: float = 0.0,
        near: tuple[float, float] | None = None,
    ) -> tuple[float, float, float] | None:
        """A spot (x, y, z) in the axes of the thing for a box of ``size`` turned by ``turn``, or None.

        With ``near`` (x, y) on the uppermost surface around there, else on any surface above ``lowest``.
        """
        spots = self._around(near, random) if near else self._anywhere(random, lowest)
        good = self._fits(spots, size, turn)
        if not len(good):
            return None
        x, y, z = (float(v) for v in spots[good[0]])
        return x, y, z

    def _around(self, near: tuple[float, float], random: np.random.Generator) -> NDArray[np.float64]:
        spread = np.linspace(0.01, 0.15, _CANDIDATES)[:, None]
        xy = near + spread * random.normal(size=(_CANDIDATES, 2))
        spots = np.concatenate([xy, np.full((_CANDIDATES, 1), self._top + 0.1)], axis=1)
        spots[:, 2] -= self._cast(spots, (0, 0, -1))
        return spots[np.isfinite(spots[:, 2])]

    def _anywhere(self, random: np.random.Generator, lowest: float) -> NDArray[np.float64]:
        weights = np.where(self._corners[:, 0, 2] >= lowest, self._areas, 0.0)
        if weights.sum() < 1e-3:
            return np.zeros((0, 3))
        picks = random.choice(len(weights), _CANDIDATES, p=weights / weights.sum())
        a, b = np.sort(random.random((2, _CANDIDATES)), axis=0)
        shares = np.stack([a, b - a, 1 - b], axis=1)
        return np.asarray((self._corners[picks] * shares[..., None]).sum(1))

    def _fits(self, spots: NDArray[np.float64], size: tuple[float, float, float], turn: float) -> NDArray[np.intp]:
        """Indices of the spots with a level surface below, free space above, and an open side."""
        grid = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]) * (size[0] / 2, size[1] / 2)
        offsets = grid @ _axes(np.array([turn]))[0]
        feet = spots[:, None] + np.pad(offsets, ((0, 0), (0, 1)))
        down = self._cast(feet + np.array([0, 0, 0.015]), (0, 0, -1))
        up = self._cast(feet + np.array([0, 0, 0.003]), (0, 0, 1))
        level = (np.abs(down - 0.015) < _LEVEL_M).all(1) & (up > size[2]).all(1)
        middle = spots + np.array([0, 0, 0.02 + 0.5 * min(size[2], 0.1)])
        sides = [self._cast(middle, direction) for direction in ((0, -1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1))]
        return np.flatnonzero(level & (np.stack(sides) > 5).any(0))

    def _cast(self, origins: NDArray[np.float64], direction: tuple[float, float, float]) -> NDArray[np.float64]:
        rays = np.concatenate([origins, np.broadcast_to(direction, origins.shape)], axis=-1)
        answer = self._scene.cast_rays(tensor(rays))
        return np.asarray(answer["t_hit"].numpy(), np.float64)
