"""Options of a data set of rooms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class RoomsConfig:
    """Options of ``pipelines.make_rooms``."""

    # Rooms in the data set. More than there are: the missing ones are added.
    scenes: int = 100
    # Photos of each room.
    views: int = 8
    # Size of a photo in pixels, WIDTHxHEIGHT.
    size: str = "256x192"
    # Of everything random. A room depends on this and on its number only.
    seed: int = 0
    # Number of the first room, to share the work between machines.
    first: int = 0
    # mitsuba: path tracing; raycast: one bounce, needs nothing installed; auto: mitsuba where it is installed.
    renderer: Literal["auto", "mitsuba", "raycast"] = "auto"
    # Samples per pixel, before the denoiser where there is one. None: the renderer's own choice.
    samples: int | None = None
    # sweethome3d: its furniture and textures; procedural: simple shapes; auto: sweethome3d where it is installed.
    catalog: Literal["auto", "sweethome3d", "procedural"] = "auto"
    # Folder of Sweet Home 3D's furniture and textures. None: where `make assets` or apt puts them.
    assets: Path | None = None
    # Write the true surface of each room as mesh.ply.
    mesh: bool = True
    # JPEG quality of a photo lies between these, at random.
    jpeg_lowest: int = 70
    jpeg_highest: int = 95
    # Processes, one thread each; 0 = one per CPU.
    workers: int = 0
