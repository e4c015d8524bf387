"""docs/rooms.png and docs/rooms_credits.md from a data set of rooms: python scripts/rooms_picture.py DIR.

DIR: the path-traced rooms that nano learnt from (seed 0, 12 views of 256x192; see its model card).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.io.images import resize_rgb
from lotus_recon.io.visualization import RgbImage, side_by_side, stacked_rows
from lotus_recon.recipes.rooms_sheet import view_images
from lotus_recon.synthetic.rooms.attribution import credits_of
from lotus_recon.synthetic.rooms.files import SceneFolder
from lotus_recon.synthetic.rooms.scene import Credit

DOCS = Path(__file__).resolve().parents[1] / "docs"
CELL = (172, 129)  # pixels
COLORS = 255  # a palette: a third of the bytes
# Room and view.
PHOTOS = (
    ((5, 0), (16, 0), (25, 0), (39, 0), (52, 0), (72, 0)),
    ((46, 0), (49, 0), (70, 0), (12, 0), (75, 0), (33, 0)),
    ((13, 0), (14, 0), (18, 0), (42, 0), (53, 0), (57, 0)),
    ((66, 0), (48, 0), (23, 0), (27, 0), (3, 0), (15, 0)),
)
WITH_MAPS = ((32, 0), (41, 0))
OWN = "lotus_recon"
HEADING = """# Credits for rooms.png

Models and textures in the rooms that [rooms.png](rooms.png) shows, from [Sweet Home 3D](https://www.sweethome3d.com).
They were scaled, partly given other materials, and rendered. What is not named was computed by this project.
"""


def main(root: Path) -> None:
    """24 photos, and two with their depth and normals."""
    rooms = RoomsSet(root, "all")
    index = {rooms.name(i): i for i in range(len(rooms))}

    def pictures(room: int, view: int) -> list[RgbImage]:
        shown = view_images(rooms, index[f"scene_{room:06d}/{view:03d}"])
        return [resize_rgb(picture, *CELL) for picture in shown]

    rows = [[pictures(*place)[0] for place in row] for row in PHOTOS]
    rows.append([picture for place in WITH_MAPS for picture in pictures(*place)])
    sheet = Image.fromarray(stacked_rows([side_by_side(row) for row in rows]))
    palette = sheet.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(DOCS / "rooms.png", optimize=True)
    numbers = {room for row in (*PHOTOS, WITH_MAPS) for room, _ in row}
    credits = {credit for number in numbers for credit in credits_of(SceneFolder.of_number(root, number))}
    (DOCS / "rooms_credits.md").write_text(credits_text(credits), encoding="utf-8")


def credits_text(credits: Iterable[Credit]) -> str:
    """Assets by licence and creator."""
    assets: dict[tuple[str, str], list[str]] = defaultdict(list)
    for credit in credits:
        if credit.creator != OWN:
            assets[credit.licence, credit.creator].append(credit.asset)
    lines: list[str] = [HEADING]
    for licence in sorted({licence for licence, _ in assets}):
        lines += [f"## {' '.join(licence.split())}", ""]
        lines += [f"- {creator}: {listed(names)}" for (of, creator), names in sorted(assets.items()) if of == licence]
        lines.append("")
    return "\n".join(lines)


def listed(assets: Sequence[str]) -> str:
    """Names without the ids that catalogs put behind them."""
    return ", ".join(sorted({asset.rpartition(" (")[0] or asset for asset in assets}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
