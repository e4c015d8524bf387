"""``stage.json``: what a stage was made with, and the files it wrote with their sizes."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGE_FILE = "stage.json"
_NEEDED: Mapping[str, Any] = {
    "config_hash": str,
    "input_hash": str,
    "run_id": str,
    "seconds": (int, float),
    "peak_memory_mb": (int, float),
    "warnings": list,
}


@dataclass(frozen=True)
class StageInfo:
    """A stage.json that can be relied on."""

    content: Mapping[str, Any]
    files: Mapping[str, int | None]  # path in the folder of the stage -> bytes; None: any (written by version 0.1)

    @classmethod
    def read(cls, path: Path) -> StageInfo | None:
        """What a stage.json says; None when there is none, or it is damaged: then the stage counts as not run."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(content, dict) or any(not isinstance(content.get(key), t) for key, t in _NEEDED.items()):
            return None
        files = listed_files(content.get("files"))
        return None if files is None else cls(content, files)


def listed_files(listed: Any) -> Mapping[str, int | None] | None:
    """Sizes by path, of a JSON value that should hold them or paths alone; None where it does not."""
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        sizes: dict[str, int | None] = dict.fromkeys(listed)
    elif isinstance(listed, dict) and all(isinstance(size, int) for size in listed.values()):
        sizes = listed
    else:
        return None
    return sizes if all(map(_is_inside, sizes)) else None


def _is_inside(name: str) -> bool:
    """Whether a listed file is one below the folder: what is listed is also removed."""
    return not name.startswith("/") and not {"", ".", ".."} & {*name.split("/")} and "\0" not in name


def sizes_below(folder: Path) -> dict[str, int]:
    """Size in bytes of every file below a folder, by its path there."""
    sizes: dict[str, int] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            sizes[os.path.relpath(path, folder)] = os.stat(path).st_size
    return dict(sorted(sizes.items()))


def damaged(folder: Path, files: Mapping[str, int | None]) -> list[str]:
    """Those of the listed files that are gone or have another size."""
    return [name for name, size in files.items() if not _is_whole(os.path.join(folder, name), size)]


def is_whole(stage_file: Path) -> bool:
    """Whether a stage is finished and has all its files."""
    return StageInfo.read(stage_file) is not None and not lost_files(stage_file)


def lost_files(stage_file: Path) -> list[str]:
    """Files of a finished stage that are gone or have another size, by their path in its folder.

    What a stage that adds to the folder has written again is whole when it is as that one left it.
    """
    info, folder = StageInfo.read(stage_file), stage_file.parent
    if info is None:
        return []
    lost = damaged(folder, info.files)
    if lost and stage_file.name == STAGE_FILE:
        added = [StageInfo.read(path) for path in folder.glob(f"*.{STAGE_FILE}")]
        again = {name: size for other in added if other is not None for name, size in other.files.items()}
        lost = [name for name in lost if name not in again or damaged(folder, {name: again[name]})]
    return lost


def _is_whole(path: str, size: int | None) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    # Of what version 0.1 listed some are folders.
    return size is None or (stat.S_ISREG(found.st_mode) and found.st_size == size)
