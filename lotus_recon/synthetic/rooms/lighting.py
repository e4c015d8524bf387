"""The light of a room: its mood, the lamps that hang, stand and glow, and what lamps mean to simpler renderers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.occupancy import Placed
from lotus_recon.synthetic.rooms.openings import Outdoors
from lotus_recon.synthetic.rooms.scene import Lamp, Part, Rgb
from lotus_recon.synthetic.rooms.solids import placed_parts, shifted, slabs, triangle_areas
from lotus_recon.synthetic.rooms.things import Thing, made
from lotus_recon.synthetic.shapes import cylinder, lathe, sphere

LAMP_GROUPS = ("ceiling_lamp", "floor_lamp", "table_lamp", "wall_lamp")
# Intensity per colour channel that a lamp of a group has, before its mood: with the bright sky at a radiance of 4.
_INTENSITY = {"ceiling_lamp": 3.0, "floor_lamp": 1.2, "table_lamp": 0.6, "wall_lamp": 0.6}
_TRIES = 30
_LARGEST_GAP_M = 0.2  # between a sloped ceiling and the middle of a lamp that hangs below it
_SUN_SHARE = 0.04  # of a sun's light that goes through its window
_DAYLIGHT_PER_M2 = 0.15
_SPOT_INTENSITY = 3.0
_BRIGHTEST = 60.0  # radiance; what is smaller than that allows gives less light


@dataclass(frozen=True)
class Mood:
    """How a room is lit."""

    name: str
    sky: Rgb  # radiance of the brightest sky
    sun: Rgb | None
    lamps: float  # chance that a lamp is on
    strength: float  # of lamps, times their usual
    tint: Rgb  # of lamps
    panels: bool = False  # rows of office panels at the ceiling


def draw_mood(kind: str, random: np.random.Generator, has_windows: bool) -> Mood:
    """A mood that suits a kind of room; without windows lamps are on."""
    shares = {"day": 0.34, "sunny": 0.14, "mixed": 0.22, "evening": 0.2, "spot": 0.1}
    names = list(shares) if has_windows else ["evening", "spot"]
    weights = np.array([shares[name] for name in names])
    name = str(random.choice(names, p=weights / weights.sum()))
    day = np.array([1.0, 1.0, 1.0]) * random.uniform(2.5, 6) * random.uniform([0.9, 0.97, 1.0], [1.05, 1.02, 1.2])
    night = np.array([0.01, 0.012, 0.02]) * random.uniform(0.3, 4)
    sky = _rgb(night if name in ("evening", "spot") else day)
    sun = _rgb(np.array([1.0, 0.9, 0.75]) * random.uniform(8, 30)) if name == "sunny" else None
    lamps = {"day": 0.03, "sunny": 0.05, "mixed": 0.75, "evening": 0.9, "spot": 0.0}[name]
    panels = kind in ("office", "meeting", "storage", "corridor") and random.random() < 0.6
    warmth = float(random.uniform(0, 0.35 if panels else 1.0))
    tint = (1.0, 1 - 0.32 * warmth, 1 - 0.68 * warmth)
    return Mood(name, sky, sun, lamps, float(random.uniform(0.5, 1.6)), tint, panels)


def outdoors_of(mood: Mood, bitmap: NDArray[np.uint8], random: np.random.Generator) -> Outdoors:
    """The view through the windows in a mood; ``bitmap`` (h, w, 3) of the sky."""
    to_sun = (float(random.uniform(-0.8, 0.8)), 1.0, float(random.uniform(0.3, 0.9)))
    return Outdoors(_whitened(bitmap), mood.sky, mood.sun, to_sun)


def _whitened(bitmap: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half its saturation: a camera exposed for the room shows the sky paler than photos of skies."""
    grey = bitmap.mean(axis=-1, keepdims=True)
    return np.asarray(grey + 0.5 * (bitmap - grey), np.uint8)


def hang_lamps(f: Furnisher, mood: Mood) -> None:
    """Lamps at the ceiling: one in the middle, several over a long room, or rows of panels."""
    if mood.panels:
        hung = _rows(f, _panel(f) if f.chance(0.6) else _tube(f))
    else:
        thing = f.assets.pick("ceiling_lamp", at_most=(1.4, 1.4, 1.2)) if f.chance(0.4) else None
        thing = thing or _ceiling_lamp(f)
        one = mood.name == "spot" or f.plan.width * f.plan.depth < 14 or f.chance(0.6)
        middle = f.plan.width * f.uniform(0.42, 0.58), f.plan.depth * f.uniform(0.42, 0.58)
        hung = _hang(f, thing, *middle) if one else _rows(f, thing)
    for _ in range(_TRIES):  # every room has one: where a slope or a column leaves space
        if hung:
            break
        hung = _hang(f, _bulb(f), f.uniform(0.3, f.plan.width - 0.3), f.uniform(0.3, f.plan.depth - 0.3))


def _rows(f: Furnisher, thing: Thing) -> bool:
    nx, ny = (max(1, round(size / f.uniform(1.8, 2.8))) for size in (f.plan.width, f.plan.depth))
    places = [((i + 0.5) * f.plan.width / nx, (j + 0.5) * f.plan.depth / ny) for i in range(nx) for j in range(ny)]
    return any([_hang(f, thing, x, y) for x, y in places])


def _hang(f: Furnisher, thing: Thing, x: float, y: float) -> bool:
    """Whether there was space for it."""
    a, b = thing.size[0] / 2, thing.size[1] / 2
    lowest = min(f.plan.ceiling.at(x + dx, y + dy) for dx in (-a, a) for dy in (-b, b))
    if f.plan.ceiling.at(x, y) - lowest > _LARGEST_GAP_M:
        return False
    z = lowest - thing.size[2] - 0.001
    return (z > 1.7 or thing.size[2] < 0.35) and f.occupancy.lay(thing, x, y, 0.0, z) is not None


def _ceiling_lamp(f: Furnisher) -> Thing:
    kind = f.random.random()
    if kind < 0.3:
        return _disc(f)
    if kind < 0.75:
        return _pendant(f)
    return _bulb(f)


def _panel(f: Furnisher) -> Thing:
    w, d = (0.6, 0.6) if f.chance(0.5) else (0.3, 1.2)
    frame = f.finishes.plain("panel", (0.8, 0.8, 0.8)).on(slabs((-w / 2, -d / 2, 0.01, w / 2, d / 2, 0.03)))
    face = slabs((-w / 2 + 0.02, -d / 2 + 0.02, 0.0, w / 2 - 0.02, d / 2 - 0.02, 0.01))
    return made("ceiling panel", "ceiling_lamp", [frame, f.finishes.plain("glow", (0.9, 0.9, 0.9)).on(face)])


def _tube(f: Furnisher) -> Thing:
    case = f.finishes.plain("case", (0.8, 0.8, 0.8)).on(slabs((-0.04, -0.6, 0.03, 0.04, 0.6, 0.08)))
    return made(
        "tube light",
        "ceiling_lamp",
        [case, f.finishes.plain("glow", (0.9, 0.9, 0.9)).on(slabs((-0.015, -0.58, 0.0, 0.015, 0.58, 0.03)))],
    )


def _disc(f: Furnisher) -> Thing:
    radius = f.uniform(0.12, 0.25)
    base = f.finishes.any_paint().on(shifted(cylinder(radius * 1.05, 0.02, 32), (0, 0, 0.06)))
    return made(
        "ceiling light",
        "ceiling_lamp",
        [base, f.finishes.plain("glow", (0.9, 0.9, 0.88)).on(cylinder(radius, 0.06, 32))],
    )


def _pendant(f: Furnisher) -> Thing:
    """An open shade on a cord around a glowing ball."""
    r, h, drop = f.uniform(0.12, 0.3), f.uniform(0.12, 0.3), f.uniform(0.2, 0.7)
    shade = lathe(np.array([[r, 0.0], [r * f.uniform(0.25, 1.0), h], [0.01, h + 0.005]]), 32, 12)
    ball = shifted(sphere(0.05, 16), (0, 0, h * 0.5))
    cord = shifted(cylinder(0.004, drop, 8), (0, 0, h))
    finish = f.finishes.any_paint()
    black = f.finishes.plain("cord", (0.02, 0.02, 0.02))
    return made(
        "pendant",
        "ceiling_lamp",
        [finish.on(shade), black.on(cord), f.finishes.plain("glow", (0.9, 0.9, 0.88)).on(ball)],
    )


def _bulb(f: Furnisher) -> Thing:
    drop, radius = f.uniform(0.05, 0.5), f.uniform(0.04, 0.16)
    cord = shifted(cylinder(0.005, drop, 8), (0, 0, 2 * radius))
    ball = shifted(sphere(radius, 20), (0, 0, radius))
    return made(
        "globe",
        "ceiling_lamp",
        [f.finishes.plain("cord", (0.05, 0.05, 0.05)).on(cord), f.finishes.plain("glow", (0.9, 0.9, 0.88)).on(ball)],
    )


def lamps_on(lamps: Sequence[Placed], mood: Mood, dim: bool, random: np.random.Generator) -> list[Placed]:
    """The lamps that are on; at least one at the ceiling where it is dim without, and a spot is alone."""
    shuffled = [lamps[int(i)] for i in random.permutation(len(lamps))]
    hanging = [lamp for lamp in shuffled if lamp.thing.group == "ceiling_lamp"]
    if mood.name == "spot":
        return (hanging if random.random() < 0.7 else shuffled)[:1]
    on = [lamp for lamp in shuffled if random.random() < mood.lamps]
    return hanging[: 1 + len(hanging) // 2] if dim and not any(lamp in on for lamp in hanging) else on


def is_dim(daylight: Sequence[Lamp], area_m2: float) -> bool:
    """Whether the windows alone leave a room of some floor area too dark for a photo."""
    return sum(max(lamp.intensity) for lamp in daylight) < _DAYLIGHT_PER_M2 * area_m2


def lit_parts(placed: Placed, mood: Mood, random: np.random.Generator) -> tuple[list[Part], Lamp]:
    """The parts of a lamp that is on, in the world, and its light."""
    parts = placed_parts(placed.thing.name, placed.thing.parts, placed.world_from_thing)
    index = _bright_part(placed.thing)
    bright = parts[index]
    area = float(triangle_areas(bright.mesh).sum())
    usual = _SPOT_INTENSITY if mood.name == "spot" else _INTENSITY[placed.thing.group]
    wanted = usual * mood.strength * float(random.uniform(0.6, 1.5))
    radiance = min(4 * wanted / max(area, 1e-4), _BRIGHTEST)  # a convex body shows a quarter of its surface on average
    parts[index] = replace(
        bright, material=replace(bright.material, texture=None, emission=_rgb(radiance * np.array(mood.tint))), uv=None
    )
    low, high = bright.mesh.vertices.min(0), bright.mesh.vertices.max(0)
    x, y, z = (float(v) for v in (low + high) / 2)
    radius = float(np.clip((high - low).mean() / 2, 0.02, 0.3))
    return parts, Lamp((x, y, z), radius, _rgb(radiance * area / 4 * np.array(mood.tint)))


def _bright_part(thing: Thing) -> int:
    """The part that is the bulb or the shade: the last one of built lamps; of others the largest in the upper third."""
    if thing.credit is None:
        return len(thing.parts) - 1
    boxes = [(part.mesh.vertices.min(0), part.mesh.vertices.max(0)) for part in thing.parts]
    height = np.array([(low[2] + high[2]) / 2 for low, high in boxes])
    towards = -height if thing.group == "ceiling_lamp" else height
    reach = towards >= towards.max() - 0.3 * thing.size[2]
    areas = np.array([triangle_areas(part.mesh).sum() for part in thing.parts])
    return int(np.argmax(np.where(reach, areas, -1.0)))


def ambient_of(lamps: Sequence[Lamp], suns: Sequence[Lamp], size: tuple[float, float, float]) -> Rgb:
    """What bounces: the light of all lamps, spread over the surface of the room once more (half of it is kept)."""
    width, depth, height = size
    surface = 2 * (width * depth + width * height + depth * height)
    intensities = [np.array(lamp.intensity) for lamp in lamps] + [_SUN_SHARE * np.array(sun.intensity) for sun in suns]
    total = np.sum(intensities, axis=0) if intensities else np.zeros(3)
    return _rgb(np.maximum(0.5 * 2 * np.pi * total / surface, 0.02))


def _rgb(values: NDArray) -> Rgb:
    r, g, b = (float(value) for value in values)
    return r, g, b
