"""Options of a data set of rooms, and those that it shares with other data sets that are rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, Unit

from lotus_recon.limits import LARGEST_INT, Many, Seed
from lotus_recon.options import Options

JpegQuality = Annotated[int, Interval(ge=1, le=100), Unit("percent")]


@dataclass(frozen=True)
class RenderingConfig(Options):
    """Options of the pipelines that render data sets."""

    # Photos of each scene.
    views: Annotated[int, Interval(ge=1, le=10_000)] = 8
    # Size of a photo in pixels, WIDTHxHEIGHT.
    size: str = "256x192"
    # Of everything random. A scene depends on this, on its number and on the assets that are installed.
    seed: Seed = 0
    # Number of the first scene, to share the work between machines.
    first: Annotated[int, Interval(ge=0, le=LARGEST_INT)] = 0
    # Samples per pixel, before the denoiser where there is one. None: the renderer's own choice.
    samples: Annotated[int | None, Interval(ge=1, le=1_000_000)] = None
    # Write the true surface of each scene as mesh.ply.
    mesh: bool = True
    # Lowest JPEG quality of a photo, which is random.
    jpeg_lowest: JpegQuality = 70
    # Highest JPEG quality of a photo.
    jpeg_highest: JpegQuality = 95
    # Processes, one thread each; 0: one per CPU.
    workers: Annotated[int, Interval(ge=0, le=4096)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jpeg_lowest > self.jpeg_highest:
            self.refuse("jpeg_lowest", f"at most jpeg_highest, {self.jpeg_highest}")


@dataclass(frozen=True)
class RoomsConfig(RenderingConfig):
    """Options of ``pipelines.make_rooms``."""

    # Rooms in the data set. More than there are: the missing ones are added.
    scenes: Many = 100
    # mitsuba: path tracing; raycast: one bounce, needs nothing installed; auto: mitsuba where it is installed.
    renderer: Literal["auto", "mitsuba", "raycast"] = "auto"
    # sweethome3d: its furniture and textures; procedural: simple shapes; auto: sweethome3d where it is installed.
    catalog: Literal["auto", "sweethome3d", "procedural"] = "auto"
    # Folder of Sweet Home 3D's furniture and textures. None: where `make assets` or apt puts them.
    assets: Path | None = None
