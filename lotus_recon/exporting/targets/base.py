"""What an export target is. Imports no library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lotus_recon.exporting.scene import ExportScene, ExportView


class Writer(Protocol):
    """Writes one scene for one tool. It gets every view once, so that no maps are read twice or held.

    ``add`` is called by several threads, each with a view of its own.
    """

    def add(self, view: ExportView) -> str:
        """Write what belongs to a view; the path of its photo in the folder."""
        ...

    def finish(self) -> None:
        """Write what belongs to the whole scene."""
        ...


@dataclass(frozen=True)
class Target:
    """One tool. ``begin`` starts a scene in an empty folder."""

    tool: str  # what the folder is for, in words
    begin: Callable[[ExportScene, Path], Writer]
    kind: str  # what its depth is, in which unit, and what 0 means
