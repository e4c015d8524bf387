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
    """Write ``count`` random views of the data set ``root`` as the picture ``path`` (PNG).

    Raises InputError when there are no rooms.
    """
    rooms = RoomsSet(root, "all")
    chosen = np.random.default_rng(seed).permutation(len(rooms))[:count]
    pictures = [side_by_side(view_pictures(rooms, int(index))) for index in sorted(chosen)]
    labels = [rooms.name(int(index)) for index in sorted(chosen)]
    write_png(path, contact_sheet(pictures, labels, _COLUMNS, _CELL_PX))


def view_pictures(rooms: RoomsSet, index: int) -> list[RgbImage]:
    """Photo, depth and normals of one view; the colours of depth span that view alone."""
    sample = rooms.load(index)
    assert sample.depth is not None  # rooms have everything
    assert sample.depth_valid is not None
    assert sample.normals is not None
    assert sample.normals_valid is not None
    depth = DepthMap(sample.depth, sample.depth_valid, DepthKind.METRIC)
    normals = NormalMap(sample.normals, sample.normals_valid)
    return [sample.rgb, colorize_depth(depth), colorize_normals(normals)]
