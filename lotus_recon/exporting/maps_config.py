"""Options of the map files."""

from __future__ import annotations

from dataclasses import dataclass

from lotus_recon.options import Options


@dataclass(frozen=True)
class MapFilesConfig(Options):
    """Formats of depth and normals."""

    # Formats of depth and normals: npz, png16, exr, with commas between them. npz is what is always there.
    maps: str = "npz"
