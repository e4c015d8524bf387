"""Single photos with measured depth: a folder with a ``manifest.json`` that names photos, depth maps and cameras.

Facts: depth as 16-bit PNG, metres = value / depth_scale, 0 where missing; K with integer pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_png16, read_rgb
from lotus_recon.outside import matrix, member, number, read_json, text
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
        stored = read_json(path, "manifest")
        if not isinstance(stored, list):
            raise InputError("it must be a list")
        entries = [_entry(entry, f"entry {i}") for i, entry in enumerate(stored)]
    except InputError as error:
        raise InputError(f"{path} is not a list with rgb, depth and depth_scale per photo: {error}") from None
    return [_measured(root, *entry) for entry in entries]


def _entry(entry: Any, where: str) -> tuple[str, str, float, tuple[float, ...] | None]:
    """Photo, depth, counts per metre, and the intrinsics."""
    rgb, depth = (text(member(entry, key, where), f"{where}: {key}") for key in ("rgb", "depth"))
    scale = number(member(entry, "depth_scale", where), f"{where}: depth_scale")
    if not scale > 0:
        raise InputError(f"{where}: depth_scale is {scale}; allowed: above 0")
    return rgb, depth, scale, _trusted_intrinsics(entry, where)


def _trusted_intrinsics(entry: dict[str, Any], where: str) -> tuple[float, ...] | None:
    """fx, fy, cx, cy, but for those that a note puts in doubt."""
    if "K" not in entry or "K_note" in entry:
        return None
    return tuple(matrix(entry["K"], (4,), f"{where}: K").tolist())


def _measured(root: Path, rgb: str, depth: str, scale: float, K: tuple[float, ...] | None) -> MeasuredPhoto:
    metres = np.asarray(read_png16(root / depth) / np.float32(scale), np.float32)
    photo = read_rgb(root / rgb)
    height, width = photo.shape[:2]
    # Half a pixel between integer pixel centres and centres at 0.5.
    camera = None if K is None else Camera(width, height, K[0], K[1], K[2] + 0.5, K[3] + 0.5)
    return MeasuredPhoto(Path(rgb).stem.removesuffix("_rgb"), photo, metres, metres > 0, camera)
