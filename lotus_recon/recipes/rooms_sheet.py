"""A look at a data set of rooms: random photos beside their depth and normals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.io.images import write_png
from lotus_recon.io.visualization import RgbImage, colorize_depth, colorize_normals, contact_sheet, side_by_side
from lotus_recon.types import DepthKind, DepthMap, NormalMap

_COLUMNS = 2
_CELL_PX = 720


def write_sheet(root: Path, path: Path, count: int, seed: int) -> None:
    """Write ``count`` random views of the data set ``root`` as the image ``path`` (PNG).

    Raises InputError when there are no rooms.
    """
    rooms = RoomsSet(root, "all")
    numbers = np.random.default_rng(seed).permutation(len(rooms))[:count]
    rows = [side_by_side(view_images(rooms, int(index))) for index in sorted(numbers)]
    labels = [rooms.name(int(index)) for index in sorted(numbers)]
    write_png(path, contact_sheet(rows, labels, _COLUMNS, _CELL_PX))


def view_images(rooms: RoomsSet, index: int) -> list[RgbImage]:
    """Images (H, W, 3) of one view: photo, depth (colours span the range of the view) and normals."""
    sample = rooms.load(index)
    assert sample.depth is not None  # rooms have everything
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    depth = DepthMap(sample.depth, sample.depth_valid, DepthKind.METRIC)
    normals = NormalMap(sample.normals, sample.normals_valid)
    return [sample.rgb, colorize_depth(depth), colorize_normals(normals)]
