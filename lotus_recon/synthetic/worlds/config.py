"""Options of a data set of worlds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from lotus_recon.limits import LARGEST_INT, Many, Seed
from lotus_recon.options import Options
from lotus_recon.synthetic.rooms.config import JpegQuality

FAMILIES = ("streets", "objects", "creatures")


@dataclass(frozen=True)
class WorldsConfig(Options):
    """Options of ``pipelines.make_worlds``."""

    # Worlds in the data set. More than there are: the missing ones are added.
    count: Many = 100
    # Kinds of worlds, separated by commas; each world is of one of them, by chance.
    family: str = "streets,objects,creatures"
    # Photos of each world.
    views: Annotated[int, Interval(ge=1, le=10_000)] = 16
    # Size of a photo in pixels, WIDTHxHEIGHT.
    size: str = "384x288"
    # Of everything random. A world depends on this, on its number and on the assets that are installed.
    seed: Seed = 0
    # Number of the first world, to share the work between machines.
    first: Annotated[int, Interval(ge=0, le=LARGEST_INT)] = 0
    # Samples per pixel, before the denoiser where there is one. None: the renderer's own choice.
    samples: Annotated[int | None, Interval(ge=1, le=1_000_000)] = None
    # sweethome3d: its furniture, people and textures, and models of games where they are installed; procedural: simple
    # shapes; auto: sweethome3d where it is installed.
    catalog: Literal["auto", "sweethome3d", "procedural"] = "auto"
    # Folder of what `make assets-streets` unpacks. None: where it puts it.
    assets: Path | None = None
    # Write the true surface of each world as mesh.ply, tens of megabytes each.
    mesh: bool = False
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
        if not self.families or not set(self.families) <= set(FAMILIES):
            self.refuse("family", f"some of {', '.join(FAMILIES)}, separated by commas")

    @property
    def families(self) -> tuple[str, ...]:
        """The kinds of worlds, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.family.split(",") if name.strip()))

    @property
    def scenes(self) -> int:
        """What rooms call the number of worlds."""
        return self.count
