"""Single photos with measured depth: a folder with a ``manifest.json`` that names photos, depth maps and cameras.

Facts: depth as 16-bit PNG, metres = value / depth_scale, 0 where missing; K with integer pixel centres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_png16, read_rgb
from lotus_recon.types import BoolArray, Camera


@dataclass(frozen=True, eq=False)
class MeasuredPhoto:
    """A photo and its measured depth."""

    name: str
    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth: NDArray[np.float32]  # (H, W) metres
    valid: BoolArray  # (H, W)
    camera: Camera | None = None  # None where K is not given or doubtful (K_note)


def measured_photos(root: Path) -> list[MeasuredPhoto]:
    """All photos of the manifest. Raises InputError when it cannot be used."""
    path = root / "manifest.json"
    try:
        entries = [
            (entry["rgb"], entry["depth"], float(entry["depth_scale"]), _trusted_intrinsics(entry))
            for entry in json.loads(path.read_text())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a list with rgb, depth and depth_scale per photo: {error}") from error
    return [_measured(root, *entry) for entry in entries]


def _trusted_intrinsics(entry: dict[str, Any]) -> tuple[float, ...] | None:
    """fx, fy, cx, cy, but for those that a note puts in doubt."""
    if "K" not in entry or "K_note" in entry:
        return None
    fx, fy, cx, cy = (float(value) for value in entry["K"])
    return fx, fy, cx, cy


def _measured(root: Path, rgb: str, depth: str, scale: float, K: tuple[float, ...] | None) -> MeasuredPhoto:
    metres = np.asarray(read_png16(root / depth) / np.float32(scale), np.float32)
    photo = read_rgb(root / rgb)
    height, width = photo.shape[:2]
    # Half a pixel between integer pixel centres and centres at 0.5.
    camera = None if K is None else Camera(width, height, K[0], K[1], K[2] + 0.5, K[3] + 0.5)
    return MeasuredPhoto(Path(rgb).stem.removesuffix("_rgb"), photo, metres, metres > 0, camera)
