"""docs/uncertainty.jpg, error bars beside true errors: python scripts/uncertainty_picture.py RUN:TRUTH:VIEW ...

RUN is an output folder of multi_view, TRUTH a folder of <view>.npz depth maps of its views, VIEW a photo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lotus_recon.io.cameras import read_colmap_scene
from lotus_recon.io.images import read_rgb
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.io.visualization import colorize_depth, colorize_errors, contact_sheet

OUT = Path("docs/uncertainty.jpg")


def main(rows: list[str]) -> None:
    """Photo, depth, standard deviation and true error."""
    pictures, labels = [], []
    for row in rows:
        run, truth, name = row.split(":")
        scene = read_colmap_scene(Path(run) / "sfm/sparse")
        view = scene.views[scene.index[name]]
        depth = SceneMaps(Path(run) / "consistency", ("depth",), POSED_DEPTH).load(view).required_depth
        sigma = SceneMaps(Path(run) / "uncertainty", ("sigma",)).load(view).sigma
        true = SceneMaps(Path(truth), ("depth",), POSED_DEPTH).load(view).required_depth
        assert sigma is not None
        both = depth.valid & true.valid
        error = np.abs(np.where(both, depth.values, 1) / np.where(both, true.values, 1) - 1)
        pictures += [read_rgb(Path(run) / "images" / name), colorize_depth(depth)]
        pictures += [colorize_errors(sigma, depth.valid), colorize_errors(error, both)]
        labels += ["photo", "depth", "standard deviation", "true error"]
    Image.fromarray(contact_sheet(pictures, labels, columns=4, cell_width=320)).save(OUT, quality=85)


if __name__ == "__main__":
    main(sys.argv[1:])
