"""docs/nano.png, the maps of nano in the README: python scripts/nano_picture.py PHOTO ..."""

from __future__ import annotations

import sys
from pathlib import Path

from lotus_recon.io.images import read_rgb, write_png
from lotus_recon.io.visualization import colorize_depth, colorize_normals, contact_sheet
from lotus_recon.models import load_model

OUT = Path("docs/nano.png")


def main(photos: list[str], model: str = "nano", out: Path = OUT) -> None:
    """Photo, depth and normals, three columns, as they come out."""
    estimator = load_model(model)
    pictures, labels = [], []
    for photo in photos:
        rgb = read_rgb(Path(photo))
        prediction = estimator.predict(rgb)
        assert prediction.depth is not None
        assert prediction.normals is not None
        pictures += [rgb, colorize_depth(prediction.depth), colorize_normals(prediction.normals)]
        labels += [Path(photo).stem, "depth", "normals"]
    write_png(out, contact_sheet(pictures, labels, columns=3, cell_width=300))


if __name__ == "__main__":
    main(sys.argv[1:])
