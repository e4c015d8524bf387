"""docs/video.jpg, depth over time: python scripts/video_picture.py OUT FRAMES

OUT is an output folder of single_view for the FRAMES, a folder of the photos of a video.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.visualization import colorize_depth, contact_sheet, depth_limits
from lotus_recon.types import DepthMap

PICTURE = Path("docs/video.jpg")


def main(out: str, frames: str) -> None:
    """The first frame above; below its middle row in all frames, from top to bottom."""
    photos = [read_rgb(path) for path in sorted(Path(frames).iterdir())]
    first, below = [photos[0]], [_over_time(photos)]
    for folder in ("predicted", "video"):
        maps = [load_prediction(path, "depth").depth for path in sorted((Path(out) / folder / "frames").glob("*.npz"))]
        depths = [depth for depth in maps if depth is not None]
        limits = depth_limits([DepthMap(d.values[::8, ::8], d.valid[::8, ::8], d.kind) for d in depths])
        colours = [colorize_depth(depth, limits) for depth in depths]
        first.append(colours[0])
        below.append(_over_time(colours))
    labels = ["the first frame", "depth, each frame alone", "depth, steady", "its middle row over time", "", ""]
    Image.fromarray(contact_sheet([*first, *below], labels, columns=3, cell_width=420)).save(PICTURE, quality=85)


def _over_time(frames: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) the middle row of every frame, one below the other, as large as a frame."""
    height = frames[0].shape[0]
    rows = np.stack([frame[height // 2] for frame in frames])
    return rows[np.arange(height) * len(rows) // height]


if __name__ == "__main__":
    main(*sys.argv[1:])
