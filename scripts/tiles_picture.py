"""docs/tiles.jpg, what --tiles adds to a large photo: python scripts/tiles_picture.py PHOTO"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from lotus_recon.io.images import read_rgb
from lotus_recon.io.visualization import colorize_depth, colorize_normals, contact_sheet
from lotus_recon.models import load_model

OUT = Path("docs/tiles.jpg")
_CELL = 480


def main(photo: str) -> None:
    """Photo, depth and normals: of the photo as a whole, and by tiles."""
    rgb = read_rgb(Path(photo))
    pictures, labels = [], []
    for tiles, label in (("off", "whole"), ("auto", "--tiles auto")):
        prediction = load_model("nano", tiles=tiles).predict(rgb)
        assert prediction.depth is not None
        assert prediction.normals is not None
        pictures += [rgb, colorize_depth(prediction.depth), colorize_normals(prediction.normals)]
        labels += ["photo", f"depth, {label}", f"normals, {label}"]
    Image.fromarray(contact_sheet(pictures, labels, columns=3, cell_width=_CELL)).save(OUT, quality=85)


if __name__ == "__main__":
    main(sys.argv[1])
