"""A whole room from a seed: shape, finishes, furniture, light."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.catalog import Catalog
from lotus_recon.synthetic.rooms.furnisher import Furnisher
from lotus_recon.synthetic.rooms.furnishing import furnish
from lotus_recon.synthetic.rooms.lighting import (
    LAMP_GROUPS,
    Mood,
    ambient_of,
    draw_mood,
    hang_lamps,
    is_dim,
    lamps_on,
    lit_parts,
    outdoors_of,
)
from lotus_recon.synthetic.rooms.materials import draw_palette
from lotus_recon.synthetic.rooms.merging import merged_parts
from lotus_recon.synthetic.rooms.occupancy import Occupancy, Placed
from lotus_recon.synthetic.rooms.openings import sky_gradient
from lotus_recon.synthetic.rooms.scene import Credit, Lamp, Part, Room
from lotus_recon.synthetic.rooms.shell import build_shell, draw_kind, draw_plan
from lotus_recon.synthetic.rooms.solids import placed_parts
from lotus_recon.synthetic.rooms.things import AssetSampler

TRIANGLES = 560_000  # of all furniture


def make_room(seed: int, catalog: Catalog) -> Room:
    """A furnished, lit room. The same seed and catalog give the same room. Raises InputError for one without light."""
    # One stream of random numbers per decision, so that a change in one leaves the others as they were.
    shape, colors, light, things = (np.random.default_rng([seed, stream]) for stream in range(4))
    kind = draw_kind(shape)
    plan = draw_plan(kind, shape)
    palette, finishes = draw_palette(catalog, colors, kind.wet)
    mood = draw_mood(kind.name, light, any(opening.kind == "window" for opening in plan.openings))
    view = finishes.outdoors() if light.random() < 0.75 else None
    bitmap = sky_gradient(light) if view is None or view.material.texture is None else view.material.texture
    shell = build_shell(plan, palette, outdoors_of(mood, bitmap, light), finishes.light_paint(), shape)
    occupancy = Occupancy(plan, TRIANGLES)
    furnisher = Furnisher(
        occupancy, AssetSampler(catalog, finishes, things, occupancy), palette, bitmap, _crowd(things), things
    )
    hang_lamps(furnisher, mood)
    if not (occupancy.placed or shell.daylight):
        raise InputError(f"room of seed {seed}: no place for a lamp, and no window")
    furnish(furnisher, kind.name, shell.sills)
    dim = is_dim(shell.daylight, plan.width * plan.depth)
    lamps_in_room = [item for item in occupancy.placed if item.thing.group in LAMP_GROUPS]
    on = lamps_on(lamps_in_room, mood, dim, light)
    parts, lamps = _in_the_world(occupancy.placed, on, mood, light)
    size = (plan.width, plan.depth, max(plan.ceiling.heights))
    ambient = ambient_of([*shell.daylight, *lamps], shell.suns, size)
    credits = _unique([*finishes.credits, *(p.thing.credit for p in occupancy.placed if p.thing.credit)])
    return Room(merged_parts(shell.parts, parts), (*shell.daylight, *shell.suns, *lamps), size, ambient, credits)


def _crowd(random: np.random.Generator) -> float:
    """How full a room is, 0 to 1.3: mostly between, some nearly empty, some crowded."""
    kind = random.random()
    if kind < 0.04:
        return 0.0
    return float(random.uniform(0.9, 1.3) if kind > 0.65 else random.uniform(0.3, 0.9))


def _in_the_world(
    placed: Sequence[Placed], on: Sequence[Placed], mood: Mood, random: np.random.Generator
) -> tuple[list[Part], list[Lamp]]:
    parts: list[Part] = []
    lamps: list[Lamp] = []
    for item in placed:
        if item in on:
            bright, lamp = lit_parts(item, mood, random)
            parts += bright
            lamps.append(lamp)
        else:
            parts += placed_parts(item.thing.name, item.thing.parts, item.world_from_thing)
    return parts, lamps


def _unique(credits: Iterable[Credit]) -> tuple[Credit, ...]:
    return tuple(dict.fromkeys(credits))
