"""Whom the assets in a data set of rooms come from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from lotus_recon.synthetic.rooms.files import ATTRIBUTION_FILE, SceneFolder, finished_scenes
from lotus_recon.synthetic.rooms.scene import Credit
from lotus_recon.workspace import write_atomically

_HEADING = """# Attribution

The {rooms} rooms in this folder show models and textures by others. Rooms, photos and maps were computed by
lotus_recon from them. Models were scaled, turned and rendered.

| asset | creator | licence | rooms |
|---|---|---|---|
"""


def write_attribution(root: Path) -> None:
    """Write ATTRIBUTION.md from the credits of all rooms in ``root``."""
    folders = finished_scenes(root)
    uses = Counter(credit for folder in folders for credit in set(credits_of(folder)))
    rows = (
        f"| {_cell(credit.asset)} | {_cell(credit.creator)} | {_cell(credit.licence)} | {count} |\n"
        for credit, count in sorted(uses.items(), key=lambda item: (item[0].licence, item[0].creator, item[0].asset))
    )
    text = _HEADING.format(rooms=len(folders)) + "".join(rows)
    write_atomically(root / ATTRIBUTION_FILE, lambda part: part.write_text(text, encoding="utf-8"))


def credits_of(folder: SceneFolder) -> list[Credit]:
    """Credits of one room."""
    return [Credit(**values) for values in json.loads(folder.metadata.read_text())["credits"]]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
