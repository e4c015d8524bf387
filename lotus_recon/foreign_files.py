"""A folder of a person's own is no output folder: it is refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.workspace import OWNERS_FILE

_LEFT_EARLY = ("log.txt", "scene.json")  # all that a run leaves that was refused; the latter is a batch's record
_SHOWN = 3


def refuse_foreign(out: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise InputError when a folder holds files and none of them tells that the program wrote there.

    ``is_ours`` says it of a path in the folder. Folders of reconstructions count always; hidden files do not, nor does
    what a run leaves that made nothing.
    """
    if not out.is_dir():
        return
    found = [path for path in sorted(out.iterdir()) if not path.name.startswith(".") and path.name not in _LEFT_EARLY]
    if not found or (out / OWNERS_FILE).is_file() or any(map(is_ours, found)):
        return
    names = ", ".join(path.name for path in found[:_SHOWN])
    raise InputError(
        f"{out} holds files of others ({names}{', ...' if len(found) > _SHOWN else ''}); "
        "choose a new or an empty folder for --out"
    )
