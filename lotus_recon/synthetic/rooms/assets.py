"""Where the furniture and the textures of rooms come from."""

from __future__ import annotations

import os
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.catalog import GROUPS, Catalog, Furniture, Model, ModelPart, Texture
from lotus_recon.synthetic.rooms.procedural import ProceduralCatalog
from lotus_recon.synthetic.rooms.sweethome3d import SweetHome3D, find_archives

__all__ = ["ASSETS_VARIABLE", "GROUPS", "Catalog", "Furniture", "Model", "ModelPart", "Texture", "load_catalog"]

ASSETS_VARIABLE = "LOTUS_RECON_ASSETS"
# Where Debian's packages put the furniture and, unless `make assets` unpacked the jar alone, the textures.
_SYSTEM_FOLDER = Path("/usr/share/sweethome3d")


def load_catalog(folder: Path | None = None) -> Catalog:
    """The catalog to furnish rooms from: Sweet Home 3D's where it is installed, else simple shapes.

    ``folder`` (or the environment variable LOTUS_RECON_ASSETS) holds .sh3f archives and sweethome3d.jar, in itself or
    in folders below; by default the work folder of ``make assets`` and the places of Debian's packages are searched.
    Raises InputError when a folder was named that holds no furniture.
    """
    named = folder or (Path(value) if (value := os.environ.get(ASSETS_VARIABLE)) else None)
    if named is None:
        work = Path(os.environ.get("LOTUS_RECON_WORK") or "work") / "assets"
        archives = find_archives(work, _SYSTEM_FOLDER)
        return SweetHome3D(archives) if archives.furniture else ProceduralCatalog()
    archives = find_archives(named)
    if not archives.furniture:
        raise InputError(f"no furniture (*.sh3f) in {named}; `make assets` installs it, or leave the option out")
    return SweetHome3D(archives)
