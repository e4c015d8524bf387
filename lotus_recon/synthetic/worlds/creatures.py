"""People and animals, as main subjects and before one another: in rooms, gardens and streets."""

from __future__ import annotations

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.materials import Finishes
from lotus_recon.synthetic.rooms.scene import Lamp, Room, Shot
from lotus_recon.synthetic.rooms.sky_light import draw_sky
from lotus_recon.synthetic.worlds.assets import ANIMALS, PEOPLE, Assets
from lotus_recon.synthetic.worlds.cameras import Vector, around, draw_shots
from lotus_recon.synthetic.worlds.objects import surroundings
from lotus_recon.synthetic.worlds.site import Site
from lotus_recon.synthetic.worlds.streets import built_street

_NEAREST_M = 0.3


def has_creatures(assets: Assets) -> bool:
    """Whether the catalog has people or animals."""
    return bool(assets.named(PEOPLE) or assets.named(ANIMALS))


def make_creatures(site: Site, views: int, size: tuple[int, int]) -> tuple[Room, list[Shot]]:
    """A group of people and animals somewhere, and shots of them. Raises InputError without any."""
    place = site.random.choice(["street", "garden", "room"], p=[0.35, 0.2, 0.45])
    lamps: list[Lamp] = []
    _gather(site, spread=1.1 if place == "room" else site.uniform(0.8, 3.0))
    if not site.subjects:
        raise InputError("there are neither people nor animals in the catalog")
    subjects = list(site.subjects)
    if place == "street":
        built_street(site, houses=site.uniform(0.1, 0.9))
    else:
        finishes = Finishes(site.assets.catalog, site.random)
        lamps = surroundings(site, finishes, place == "garden", np.array([1.4, 1.4]))
        site.credits += finishes.credits
    sky = None if place == "room" else draw_sky(site.random)
    room = site.finished(lamps, site.uniform(0.12, 0.4), sky)
    site.subjects = subjects
    return room, draw_shots(room, site.random, lambda fov: _aim(site, fov), views, size, _NEAREST_M)


def _gather(site: Site, spread: float) -> None:
    people, animals = site.assets.named(PEOPLE), site.assets.named(ANIMALS)
    for _ in range(int(site.random.integers(2, 8))):
        choices = animals if animals and (not people or site.chance(0.45)) else people
        if choices:
            x, y = site.random.normal(0, spread / 2, 2)
            site.stand(
                site.pick(choices), float(x), float(y), 0.0, site.uniform(0, 6.28), site.uniform(0.85, 1.15), True
            )


def _aim(site: Site, fov: float) -> tuple[Vector, Vector]:
    """A portrait, a whole figure, or a group."""
    middle, height = site.subjects[int(site.random.integers(len(site.subjects)))]
    share = float(site.random.choice([0.35, 1.0, 2.2], p=[0.3, 0.45, 0.25]))  # of the height, across the picture
    target = middle + np.array([0, 0, 0.35 * height if share < 0.5 else site.uniform(-0.1, 0.2) * height])
    reach = max(share * height, 0.25) / (2 * np.tan(np.radians(fov) / 2)) * np.array([1.2, 2.2])
    near, far = np.clip(reach, 0.4, 12.0)
    return around(site.random, target, (near, far * 1.01), (-10, 35)), target
