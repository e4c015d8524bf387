"""Where photos of worlds are taken from: proposals, of which those that see something are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.solids import turned_pose
from lotus_recon.synthetic.rooms.truth import room_surfaces
from lotus_recon.synthetic.surfaces import Surfaces, world_rays
from lotus_recon.types import Camera

Vector = NDArray[np.float64]
# A place and what to look at from there, (3,) each, by the widest field of view; None when there is none.
Propose = Callable[[float], tuple[Vector, Vector] | None]

_FOV_DEG = (20.0, 110.0)
_COLUMNS, _ROWS = 24, 18
_TRIES = 120
_COMPARED = 3  # shots that are possible, of which the one that shows most is taken
_LARGEST_SKY = 0.62
_UPSIDE = np.array([[0.0, 0.0, 1.0], [0.3, 0.0, 0.95], [-0.3, 0.1, 0.95]])


def draw_shots(
    room: Room, random: np.random.Generator, propose: Propose, count: int, size: tuple[int, int], nearest: float
) -> list[Shot]:
    """``count`` shots of at least ``nearest`` metres to anything. Raises InputError when too few are found."""
    surfaces = room_surfaces(room, threads=1)
    shots: list[Shot] = []
    found: list[tuple[float, int, Shot]] = []
    for _ in range(_TRIES * count):
        if len(shots) == count:
            break
        fov = draw_fov(random)
        placed = propose(fov)
        if placed is None:
            continue
        camera = Camera.from_fov_deg(fov, *size)
        roll = float(random.normal(0, np.radians(2.0)))
        shot = Shot(camera, turned_pose(0, 0, 0, roll) @ look_at(*placed))
        interest = _interest(surfaces, shot, nearest, room.sky is not None)
        if interest is not None:
            found.append((interest, len(found), shot))
        if len(found) == _COMPARED:
            shots.append(max(found)[2])
            found = []
    if len(shots) < count:
        raise InputError("no place for a camera in this world")
    return shots


def draw_fov(random: np.random.Generator) -> float:
    """Horizontal field of view in degrees, most often that of telephones."""
    low, high = np.log(_FOV_DEG)
    usual = random.normal(np.log(58), 0.22)
    value = usual if random.random() < 0.6 else random.uniform(low, high)
    return float(np.exp(np.clip(value, low, high)))


def _interest(surfaces: Surfaces, shot: Shot, nearest: float, outdoors: bool) -> float | None:
    """How much of the picture are edges of things; None for a shot that is not allowed."""
    small = Camera.from_fov_deg(shot.camera.fov_deg[0], _COLUMNS, _ROWS)
    hits = surfaces.cast(*world_rays(small, shot.cam_from_world))
    sky = ~hits.hit
    if sky.mean() > (_LARGEST_SKY if outdoors else 0.0) or hits.distance.min(initial=np.inf) < nearest:
        return None
    low, high = np.quantile(hits.distance, [0.1, 0.9])
    if high / low < 1.15:  # a wall and nothing else
        return None
    # Inside a solid there is a surface close above.
    center = invert_rigid(shot.cam_from_world)[:3, 3]
    if outdoors and surfaces.occluded(np.tile(center, (3, 1)), _UPSIDE, far=60.0).all():
        return None
    logs = np.full(len(hits.hit), np.log(500.0))
    logs[hits.hit] = np.log(np.minimum(hits.distance, 200.0))
    grid = logs.reshape(_ROWS, _COLUMNS)
    return float((np.abs(np.diff(grid, axis=0)) > 0.2).mean() + (np.abs(np.diff(grid, axis=1)) > 0.2).mean())


def around(
    random: np.random.Generator, target: Vector, distance: tuple[float, float], rise_deg: tuple[float, float]
) -> Vector:
    """A place (3,) at a distance of a target, seen from which it lies lower by an angle."""
    turn, rise = random.uniform(0, 2 * np.pi), np.radians(random.uniform(*rise_deg))
    reach = np.exp(random.uniform(*np.log(distance)))
    return np.asarray(
        target + reach * np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    )
