"""Where photos of a room are taken: as people do, from where a person or a phone can be, of something worth seeing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.synthetic.rooms.merging import SHELL
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.solids import turned_pose
from lotus_recon.synthetic.surfaces import tensor
from lotus_recon.types import Camera

_COLUMNS, _ROWS = 24, 18  # rays of a trial
_RING = 48  # rays around a place
_NEAREST_M = 0.25
_MEDIAN_M = 0.6
_INSIDE_M = 0.1  # cameras do not stand in windows either
_LEAST_AROUND = 0.95  # of all ways end at a surface; between walls and outdoors many do not
_LARGEST_SKY = 0.4
_TRIALS = 60
_COMPARED = 6  # of as many good shots the best is taken
_GOOD, _FAIR = 0.55, 0.3  # scores: that ends the search, that is kept when the search gets long
_ARC_CHANCE = 0.2  # that a shot starts an arc
_ARC_SHOTS = (1, 3)  # more of the same thing


@dataclass(frozen=True)
class Habit:
    """A way to take photos."""

    share: float  # of all shots
    height_m: tuple[float, float]
    distance_m: tuple[float, float]  # to what is looked at
    above_m: tuple[float, float] | None = None  # height over what is looked at, in place of height_m
    wide: bool = False  # into the room, where there is most to see


HABITS = (
    Habit(0.42, (1.2, 1.8), (1.8, 12.0), wide=True),  # the room, from where one stands
    Habit(0.12, (1.2, 1.8), (1.8, 12.0)),  # something in the room
    Habit(0.08, (0.35, 1.0), (1.2, 8.0)),  # from a chair, from the floor
    Habit(0.06, (1.8, 2.3), (1.5, 8.0)),  # arms up
    Habit(0.14, (1.0, 1.7), (0.9, 2.2)),  # a piece of furniture
    Habit(0.18, (0.4, 1.8), (0.4, 1.4), above_m=(0.05, 0.8)),  # a desk top, a shelf, from near
)


@dataclass(frozen=True, eq=False)
class _Look:
    """Rays of a trial: how far they go, and what they meet."""

    distance: NDArray[np.float64]  # (N,) metres; infinite where nothing is met
    depth: NDArray[np.float64]  # (N,) z-depth
    part: NDArray[np.int64]  # (N,) index of the part, -1: nothing


class _Sight:
    """The room as rays see it."""

    def __init__(self, room: Room) -> None:
        self.size = np.array(room.size)
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        for part in room.parts:
            self._scene.add_triangles(tensor(part.mesh.vertices), tensor(part.mesh.triangles.astype(np.uint32)))
        self.is_sky = np.array([part.is_sky for part in room.parts])
        self.is_shell = np.array([part.name == SHELL or part.is_sky for part in room.parts])

    def cast(self, origins: NDArray[np.float64], directions: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
        """Distance in lengths of the direction (N,), and part (N,) or -1."""
        rays = np.concatenate([np.broadcast_to(origins, directions.shape), directions], axis=1)
        answer = self._scene.cast_rays(tensor(rays), nthreads=1)
        distance = answer["t_hit"].numpy().astype(np.float64)
        part = answer["geometry_ids"].numpy().astype(np.int64)
        return distance, np.where(np.isfinite(distance), part, -1)

    def through(self, camera: Camera, cam_from_world: NDArray[np.float64]) -> _Look:
        """What a camera sees, at a few pixels."""
        small = camera.resized(_COLUMNS, _ROWS)
        world_from_cam = invert_rigid(cam_from_world)
        directions = rays_in_cam(small).reshape(-1, 3) @ world_from_cam[:3, :3].T
        depth, part = self.cast(world_from_cam[:3, 3], directions)
        return _Look(depth * np.linalg.norm(directions, axis=1), depth, part)

    def clear(self, center: NDArray[np.float64]) -> bool:
        """Whether nothing is near, and the room (not the inside of a closed thing, not the outdoors) is around."""
        if not ((center > _INSIDE_M) & (center < self.size - _INSIDE_M)).all():
            return False
        distance, part = self.cast(center, _AROUND)
        met = part >= 0
        if distance.min() < _NEAREST_M or met.mean() < _LEAST_AROUND:
            return False
        return bool(self.is_shell[part[met]].mean() > 0.3)

    def between(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> bool:
        """Whether anything is on the straight way from one place (3,) to another."""
        return bool(self.cast(start, (end - start)[None])[0][0] < 1)


def _sphere_directions(count: int) -> NDArray[np.float64]:
    index = np.arange(count) + 0.5
    z, angle = 1 - 2 * index / count, np.pi * (1 + np.sqrt(5)) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)


_AROUND = _sphere_directions(96)


def make_shots(room: Room, seed: int, count: int, width: int, height: int) -> list[Shot]:
    """``count`` photos of a room; some follow each other on short arcs. The same arguments give the same shots.

    Cameras are in free space, at least 0.25 m from anything they see. Raises InputError when no such place is found.
    """
    if count < 1:
        raise InputError(f"{count} shots; allowed: 1 or more")
    random = np.random.default_rng([seed, 77])
    sight = _Sight(room)
    shots: list[Shot] = []
    while len(shots) < count:
        camera = _draw_camera(random, width, height)
        shot, target = _first(sight, camera, random)
        shots.append(shot)
        if random.random() < _ARC_CHANCE and _score(sight, shot) > _GOOD:
            more = min(int(random.integers(_ARC_SHOTS[0], _ARC_SHOTS[1] + 1)), count - len(shots))
            shots += _arc(sight, shot, target, more, random)
    return shots


def _draw_camera(random: np.random.Generator, width: int, height: int) -> Camera:
    ideal = Camera.from_fov_deg(float(random.uniform(40, 85)), width, height)
    dx, dy = random.uniform(-0.02, 0.02, 2) * (width, height)
    return Camera(width, height, ideal.fx, ideal.fy, ideal.cx + float(dx), ideal.cy + float(dy))


def _first(sight: _Sight, camera: Camera, random: np.random.Generator) -> tuple[Shot, NDArray[np.float64]]:
    """A shot that is worth taking, and what it looks at; the best of those found when none is fully so."""
    best: tuple[float, Shot, NDArray[np.float64]] | None = None
    habit = HABITS[int(random.choice(len(HABITS), p=[habit.share for habit in HABITS]))]
    allowed = 0
    for trial in range(_TRIALS):
        if trial == _TRIALS // 2 and (best is None or best[0] < _FAIR):
            habit = HABITS[0]  # what was wanted is not there
        placed = _aimed(sight, habit, random)
        if placed is None:
            continue
        center, target = placed
        shot = Shot(camera, _posed(center, target, random))
        score = _score(sight, shot)
        allowed += score >= 0
        if best is None or score > best[0]:
            best = (score, shot, target)
        if allowed >= _COMPARED and best[0] > _GOOD:
            break
    if best is None or best[0] < 0:
        raise InputError("no place for a camera in the room: it is too full")
    return best[1], best[2]


def _aimed(
    sight: _Sight, habit: Habit, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """A free place to stand and what to look at from there."""
    if habit.above_m is not None:
        return _near_something(sight, habit, habit.above_m, random)
    for _ in range(6):
        center = _by_the_wall(sight.size, random) if random.random() < 0.7 else random.random(2) * sight.size[:2]
        position = np.array([*center, min(random.uniform(*habit.height_m), sight.size[2] - 0.3)])
        if sight.clear(position):
            if habit.wide:
                return position, _into_the_room(sight, position, random)
            target = _worth_a_look(sight, position, habit.distance_m, random)
            return None if target is None else (position, target)
    return None


def _by_the_wall(size: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """A place (2,) within 0.3 to 0.9 m of a wall, as far back as a photographer gets."""
    place = random.random(2) * size[:2]
    axis = int(random.integers(2))
    away = random.uniform(0.3, 0.9)
    place[axis] = away if random.random() < 0.5 else size[axis] - away
    return np.asarray(place)


def _worth_a_look(
    sight: _Sight, position: NDArray[np.float64], distance_m: tuple[float, float], random: np.random.Generator
) -> NDArray[np.float64] | None:
    """A point (3,) on a thing at a distance, else on anything: the middle of a few that lie the same way."""
    directions = random.normal(size=(64, 3)) * (1, 1, 0.35) - (0, 0, 0.15)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance, part = sight.cast(position, directions)
    good = (part >= 0) & (distance > distance_m[0]) & (distance < distance_m[1])
    things = good & ~sight.is_shell[part]
    chosen = np.flatnonzero(things if things.any() and random.random() < 0.8 else good)
    if not len(chosen):
        return None
    first = directions[int(random.choice(chosen))]
    return np.asarray(position + first * distance[(directions == first).all(1)][0])


def _into_the_room(sight: _Sight, position: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """A point (3,) the way in which the room is deep and has things in it."""
    angles = np.linspace(0, 2 * np.pi, _RING, endpoint=False) + random.uniform(0, 0.1)
    distances, things = np.zeros(_RING), np.zeros(_RING)
    for slope in (-0.35, -0.12, 0.05):
        directions = np.stack([np.cos(angles), np.sin(angles), np.full(_RING, slope)], axis=-1)
        distance, part = sight.cast(position, directions)
        distances += np.minimum(np.where(np.isfinite(distance), distance, 0), 8) / 3
        things += ((part >= 0) & ~sight.is_shell[part]) / 3
    view = np.cos(angles[:, None] - angles) > 0.8  # within 37 degrees
    reach = view @ distances / view.sum(1)
    worth = reach**2 * (0.15 + view @ things / view.sum(1))
    angle = angles[int(random.choice(_RING, p=worth / worth.sum()))]
    length = float(np.max(reach))
    return position + length * np.array([np.cos(angle), np.sin(angle), -random.uniform(0.05, 0.3)])


def _near_something(
    sight: _Sight, habit: Habit, above_m: tuple[float, float], random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """A place close to a thing, a little above it."""
    start = random.random(3) * sight.size * (1, 1, 0) + (0, 0, random.uniform(0.9, 1.8))
    target = _worth_a_look(sight, start, (0.3, 12.0), random) if sight.clear(start) else None
    if target is None:
        return None
    away = (start - target)[:2] / (np.linalg.norm((start - target)[:2]) + 1e-9)
    spread = float(random.normal(0, 0.5))
    c, s = np.cos(spread), np.sin(spread)
    reach = random.uniform(*habit.distance_m)
    rise = min(random.uniform(*above_m), 0.95 * reach)
    flat = np.sqrt(reach**2 - rise**2)
    position = target + np.array([flat * (c * away[0] - s * away[1]), flat * (s * away[0] + c * away[1]), rise])
    if not habit.height_m[0] < position[2] < sight.size[2] - 0.2 or not sight.clear(position):
        return None
    return np.asarray(position), target


def _posed(
    center: NDArray[np.float64], target: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """cam_from_world: at the target, more or less, and nearly level."""
    forward = target - center
    reach = np.linalg.norm(forward)
    flat = np.linalg.norm(forward[:2])
    pitch = np.arctan2(forward[2], flat)
    # People tilt a camera less than the way to what they look at: the room stays upright in the picture.
    pitch = pitch * random.uniform(0.5, 1.0) if reach > 1.5 else pitch
    pitch = float(np.clip(pitch + random.normal(-0.03, 0.06), -1.2, 0.15))
    yaw = np.arctan2(forward[1], forward[0]) + random.normal(0, 0.12)
    direction = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    roll = float(random.normal(0, np.radians(1.8)))
    return turned_pose(0, 0, 0, roll) @ look_at(center, center + direction)


def _score(sight: _Sight, shot: Shot) -> float:
    """How good a shot is: below 0 not allowed, 1 the best.

    Counts the range of depth, things in sight, and how often depth jumps from one ray to the next.
    """
    look = sight.through(shot.camera, shot.cam_from_world)
    met = look.part >= 0
    sky = ~met | sight.is_sky[look.part]
    if look.distance.min() < _NEAREST_M or sky.mean() > _LARGEST_SKY:
        return -1.0
    depth = look.depth[~sky]
    if np.median(depth) < _MEDIAN_M:
        return -1.0
    low, high = np.quantile(depth, [0.1, 0.9])
    things = (~sight.is_shell[look.part[met]]).mean()
    logs = np.log(np.minimum(look.depth, 50.0)).reshape(_ROWS, _COLUMNS)
    jumps = (np.abs(np.diff(logs, axis=0)) > 0.15).mean() + (np.abs(np.diff(logs, axis=1)) > 0.15).mean()
    shares = (np.log2(high / low) / 1.3, things / 0.35, jumps / 0.3)
    return float(np.dot([0.35, 0.3, 0.35], np.minimum(shares, 1.0)))


def _arc(sight: _Sight, shot: Shot, target: NDArray[np.float64], count: int, random: np.random.Generator) -> list[Shot]:
    """More shots of the same thing, each a small step to the side of the one before."""
    center = invert_rigid(shot.cam_from_world)[:3, 3]
    across = np.cross(target - center, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across) + 1e-9
    reach = float(np.linalg.norm(target - center))
    stride = (1 if random.random() < 0.5 else -1) * float(random.uniform(0.08, 0.22)) * min(reach, 2.5)
    shots: list[Shot] = []
    turn = shot.cam_from_world[:3, :3]
    for step in range(1, count + 1):
        place = center + across * stride * step + random.normal(0, 0.02, 3)
        pose = _following(turn, center, place, target, random)
        following = Shot(shot.camera, pose)
        if sight.between(center, place) or not sight.clear(place) or _score(sight, following) < 0:
            break
        shots.append(following)
    return shots


def _following(
    turn: NDArray[np.float64],
    center: NDArray[np.float64],
    place: NDArray[np.float64],
    target: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """cam_from_world at ``place``: the first camera's turn, swung so that the target stays where it was."""
    before, after = target - center, target - place
    swing = np.arctan2(after[1], after[0]) - np.arctan2(before[1], before[0]) + random.normal(0, 0.02)
    x, y, z = (float(value) for value in place)
    world_from_cam = turned_pose(x, y, z, float(swing))
    world_from_cam[:3, :3] @= turn.T
    return invert_rigid(world_from_cam)
