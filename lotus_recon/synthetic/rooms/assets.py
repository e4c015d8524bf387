"""Where the furniture and the textures of rooms come from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.catalog import GROUPS, Catalog, Furniture, Model, ModelPart, Texture
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.sweethome3d import Archives, SweetHome3D, find_archives

__all__ = ["ASSETS_VARIABLE", "GROUPS", "Catalog", "Furniture", "Model", "ModelPart", "Texture", "load_catalog"]

ASSETS_VARIABLE = "LOTUS_RECON_ASSETS"
# Where Debian's packages put the furniture and, unless `make assets` unpacked the jar alone, the textures.
_SYSTEM_FOLDER = Path("/usr/share/sweethome3d")
# Of these Sweet Home 3D has hardly any: the computed ones are offered too.
_SCARCE = ("rug", "picture", "mirror", "bench", "bedside", "ceiling_lamp", "floor_lamp")


def installed_archives() -> Archives:
    """What `make assets` or Debian's packages installed."""
    return find_archives(Path(os.environ.get("LOTUS_RECON_WORK") or "work") / "assets", _SYSTEM_FOLDER)


def load_catalog(folder: Path | None = None) -> Catalog:
    """The catalog to furnish rooms from: Sweet Home 3D's where it is installed, else simple shapes.

    ``folder`` (or the environment variable LOTUS_RECON_ASSETS) holds .sh3f archives and sweethome3d.jar, in itself or
    in folders below; by default the work folder of ``make assets`` and the places of Debian's packages are searched.
    Raises InputError when a folder was named that holds no furniture.
    """
    named = folder or (Path(value) if (value := os.environ.get(ASSETS_VARIABLE)) else None)
    if named is None:
        archives = installed_archives()
        return _EkedOut(SweetHome3D(archives)) if archives.furniture else ProceduralCatalog()
    archives = find_archives(named)
    if not archives.furniture:
        raise InputError(f"no furniture (*.sh3f) in {named}; `make assets` installs it, or leave the option out")
    return _EkedOut(SweetHome3D(archives))


class _EkedOut:
    """A catalog with computed textures, and with simple furniture in the groups of which it has few."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._more = catalog, ProceduralCatalog(_SCARCE)
        self.name = catalog.name
        self.furniture = catalog.furniture + self._more.furniture
        self.textures = catalog.textures + self._more.textures
        self._own = {item.id for item in catalog.furniture} | {texture.id for texture in catalog.textures}

    def model(self, furniture: Furniture) -> Model:
        """The surfaces of a piece of furniture."""
        return (self._catalog if furniture.id in self._own else self._more).model(furniture)

    def bitmap(self, texture: Texture) -> NDArray[np.uint8]:
        """(h, w, 3) sRGB of one repetition."""
        return (self._catalog if texture.id in self._own else self._more).bitmap(texture)
