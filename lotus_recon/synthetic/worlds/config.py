"""Options of a data set of worlds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from lotus_recon.limits import Many
from lotus_recon.synthetic.rooms.config import RenderingConfig

FAMILIES = ("streets", "objects", "creatures")


@dataclass(frozen=True)
class WorldsConfig(RenderingConfig):
    """Options of ``pipelines.make_worlds``."""

    # Worlds in the data set. More than there are: the missing ones are added.
    count: Many = 100
    # Kinds of worlds, separated by commas; each world is of one of them, by chance.
    family: str = "streets,objects,creatures"
    # Photos of each scene.
    views: Annotated[int, Interval(ge=1, le=10_000)] = 16
    # Size of a photo in pixels, WIDTHxHEIGHT.
    size: str = "384x288"
    # sweethome3d: its furniture, people and textures, and models of games where they are installed; procedural: simple
    # shapes; auto: sweethome3d where it is installed.
    catalog: Literal["auto", "sweethome3d", "procedural"] = "auto"
    # Folder of what `make assets-streets` unpacks. None: where it puts it.
    assets: Path | None = None
    # Write the true surface of each world as mesh.ply, tens of megabytes each.
    mesh: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.families or not set(self.families) <= set(FAMILIES):
            self.refuse("family", f"some of {', '.join(FAMILIES)}, separated by commas")

    @property
    def families(self) -> tuple[str, ...]:
        """The kinds of worlds, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.family.split(",") if name.strip()))
