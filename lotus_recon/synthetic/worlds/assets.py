"""What worlds are made of: models of games (apt, unpacked by `make assets-streets`) and Sweet Home 3D's."""

from __future__ import annotations

import functools
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.cache import cache_folder
from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.assets import Catalog, Furniture, load_catalog
from lotus_recon.synthetic.rooms.catalog import Model
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.scene import Credit
from lotus_recon.synthetic.worlds.model_files import ModelFile, has_assimp, read_model
from lotus_recon.synthetic.worlds.models import parts_of

log = logging.getLogger(__name__)

_TRACKS = "usr/share/games/torcs/tracks"
_BUILDINGS = "usr/share/games/flightgear/Models"
_BUILDING_FOLDERS = ("Residential", "Commercial", "Agriculture", "Industrial", "Buildings", "Transport")
_MOST_TRIANGLES = 40_000  # of one model that is not a track

# Sweet Home 3D's models by name.
PEOPLE = re.compile(r"(?i)\b(male|female|boy|girl)$(?<!mannequin male)")
ANIMALS = re.compile(r"(?i)^(chicken|horse|bulldog|siamese cat|cat|dog|rabbit)$")
VEHICLES = re.compile(
    r"(?i)^(concept sedan.*|vw.*|seat leon|peugeot.*|renault.*|truck|bus|city bus|suv|chevrolet|van|smart car"
    r"|scooter|motorbike|yamaha.*)$"
)
STREET = re.compile(
    r"(?i)(lamppost|street lamp|street light|park light|hydrant|trashcan|bench|mailbox|^cone$|bicycle|^bike$|wood bank"
    r"|hedge|^bush$|cypress|palm tree|bamboo|barrel|container|umbrella|stone lantern|^rock$)"
)


@dataclass(frozen=True)
class Assets:
    """Models to build worlds from; the lists are in a fixed order."""

    catalog: Catalog
    tracks: tuple[Path, ...]
    buildings: tuple[Path, ...]

    def named(self, pattern: re.Pattern[str]) -> tuple[Furniture, ...]:
        """Furniture by name."""
        return tuple(item for item in self.catalog.furniture if pattern.search(item.name))

    def model(self, furniture: Furniture) -> tuple[Model, Credit]:
        """The surfaces of a piece of furniture, and whose they are."""
        return self.catalog.model(furniture), furniture.credit


def load_assets(name: str = "auto", folder: Path | None = None) -> Assets:
    """What is installed; of the catalog ``name`` (see WorldsConfig) and, unless it is procedural, of games.

    Raises InputError when the catalog is not installed, or a folder was named that holds no models of games.
    """
    if name == "procedural":
        return Assets(ProceduralCatalog(), (), ())
    catalog = load_catalog()
    if name not in ("auto", catalog.name):
        raise InputError(f"--catalog {name} is not installed; run `make assets`, or use --catalog procedural")
    root = folder or Path(os.environ.get("LOTUS_RECON_WORK") or "work") / "assets" / "worlds"
    tracks = _files(root, _TRACKS, ("*/*/*.acc", "*/*/*.ac"))
    tracks = tuple(path for path in tracks if path.stem == path.parent.name)
    buildings = _files(root, _BUILDINGS, tuple(f"{name}/*.ac" for name in _BUILDING_FOLDERS))
    if folder is not None and not (tracks or buildings):
        raise InputError(
            f"no models of games in {folder}; `make assets-streets` installs them, or leave the option out"
        )
    if (tracks or buildings) and not has_assimp():
        log.warning(
            "models of games are left out: the program assimp is not installed (sudo apt-get install assimp-utils)"
        )
        tracks = buildings = ()
    return Assets(catalog, tracks, buildings)


def _files(root: Path, below: str, patterns: tuple[str, ...]) -> tuple[Path, ...]:
    """Of all packages that are unpacked in ``root``."""
    return tuple(sorted(path for pattern in patterns for path in root.glob(f"*/{below}/{pattern}")))


def read_outside(path: Path) -> ModelFile:
    """A model of a game; what was converted is kept in the user's cache folder. Raises InputError."""
    return read_model(path, cache_folder() / "models")


@functools.lru_cache(maxsize=24)
def outside_model(path: Path) -> Model:
    """A model of a game in metres, standing on z = 0, centred. Raises InputError for one that is too large."""
    model = read_outside(path)
    if sum(len(surface.points) for surface in model.surfaces) > _MOST_TRIANGLES:
        raise InputError(f"{path} has more than {_MOST_TRIANGLES} triangles")
    parts = parts_of(model)
    if not parts:
        raise InputError(f"{path} has no surface")
    return parts


def credit_of(path: Path) -> Credit:
    """Of a model of a game, as Debian's copyright file of its package has it."""
    place = path.as_posix()
    if "/torcs/" in place:
        return Credit(f"TORCS: {path.parent.name}", "J.-C. Durieu and the TORCS team", "Free Art License / GPL-2+")
    return Credit(f"FlightGear: {path.parent.name}/{path.stem}", "C. L. Olson and the FlightGear team", "GPL-2+")


def bounds_of(model: Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest corner (3,)."""
    low = np.min([part.mesh.vertices.min(0) for part in model], axis=0)
    return low, np.max([part.mesh.vertices.max(0) for part in model], axis=0)
