"""A data set of worlds on disk, in the layout of rooms: see ``lotus_recon.synthetic.rooms.writing``."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms import writing
from lotus_recon.synthetic.rooms.files import SceneFolder
from lotus_recon.synthetic.rooms.look import Look
from lotus_recon.synthetic.rooms.ray_casting import RayCaster
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.worlds.assets import Assets, load_assets
from lotus_recon.synthetic.worlds.config import WorldsConfig
from lotus_recon.synthetic.worlds.creatures import has_creatures, make_creatures
from lotus_recon.synthetic.worlds.objects import make_objects
from lotus_recon.synthetic.worlds.site import Site
from lotus_recon.synthetic.worlds.streets import make_street

log = logging.getLogger(__name__)

_MAKERS = {"streets": make_street, "objects": make_objects, "creatures": make_creatures}
_FAMILY, _WORLD = range(100, 102)  # what a seed is for; below are those of rooms
_OUTDOORS = Look(grey_world=0.25)  # meadows and skies keep their colours


def check_config(config: WorldsConfig) -> WorldsConfig:
    """The config with families that cannot be made left out. Raises InputError for options that cannot be used."""
    writing.image_size(config)
    assets = _assets(config.catalog, config.assets)
    if not assets.tracks and "streets" in config.families:
        log.warning("streets are of simple houses and without tracks: `make assets-streets` installs models of games")
    families = config.families
    if not has_creatures(assets) and "creatures" in families:
        families = tuple(name for name in families if name != "creatures")
        if not families:
            raise InputError("--family creatures: there are no people and animals; `make assets` installs them")
        log.warning("creatures are left out: there are no people and animals; `make assets` installs them")
    catalog: Any = assets.catalog.name
    return replace(config, family=",".join(families), catalog=catalog)


def make_worlds(root: Path, config: WorldsConfig) -> writing.Made:
    """Make the worlds that are missing in the claimed folder ``root``; see ``make_missing``."""
    return writing.make_missing(root, config, config.count, functools.partial(_make_scene, root, config))


def _make_scene(root: Path, config: WorldsConfig, number: int) -> str:
    return writing.write_whole(root, config, number, lambda folder: _write_world(folder, config, number))


@functools.lru_cache(maxsize=1)
def _assets(catalog: str, folder: Path | None) -> Assets:
    return load_assets(catalog, folder)


def make_world(family: str, seed: int, assets: Assets, views: int, size: tuple[int, int]) -> tuple[Room, list[Shot]]:
    """A world and shots of it; the same for the same arguments. Raises InputError for one without a view."""
    return _MAKERS[family](Site(np.random.default_rng(seed), assets), views, size)


def _write_world(folder: SceneFolder, config: WorldsConfig, number: int) -> None:
    """One world into ``folder``; scene.json last."""
    seed = functools.partial(writing.seed_of, config.seed, number)
    family = config.families[seed(_FAMILY) % len(config.families)]
    size = writing.image_size(config)
    room, shots = make_world(family, seed(_WORLD), _assets(config.catalog, config.assets), config.views, size)
    renderer = RayCaster(room, config.samples, threads=1)
    look = None if room.sky is None else _OUTDOORS
    writing.write_place(folder, config, number, writing.Place(room, shots, renderer, {"family": family}, look, True))
