"""Single photos with measured depth: a folder with a ``manifest.json`` that names photos, depth maps and cameras.

Facts: depth as 16-bit PNG, metres = value / depth_scale, 0 where missing; K with integer pixel centres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_png16, read_rgb
from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class MeasuredPhoto:
    """A photo and its measured depth."""

    name: str
    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: NDArray[np.float32]  # (H, W) metres
    valid: BoolArray  # (H, W)
    focal_px: float | None = None  # along x, where the manifest has K


def measured_photos(root: Path) -> list[MeasuredPhoto]:
    """All photos of the manifest. Raises InputError when it cannot be used."""
    path = root / "manifest.json"
    try:
        entries = [
            (entry["rgb"], entry["depth"], float(entry["depth_scale"]), float(entry["K"][0]) if "K" in entry else None)
            for entry in json.loads(path.read_text())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a list with rgb, depth and depth_scale per photo: {error}") from error
    return [_measured(root, *entry) for entry in entries]


def _measured(root: Path, rgb: str, depth: str, scale: float, focal_px: float | None) -> MeasuredPhoto:
    metres = np.asarray(read_png16(root / depth) / np.float32(scale), np.float32)
    return MeasuredPhoto(Path(rgb).stem.removesuffix("_rgb"), read_rgb(root / rgb), metres, metres > 0, focal_px)
