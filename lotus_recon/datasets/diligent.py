"""Normal maps of real objects, some with measured depth: normal_map.png, mask.png, K.txt and depth_gt.npz in a folder.

The layout in which bilateral normal integration distributes DiLiGenT (Shi et al., CVPR 2016). Facts: 16-bit RGB, value
/ 65535 * 2 - 1, x right, y up, z toward the camera; K with integer pixel centres, absent where the camera is
orthographic; z-depth in millimetres, not finite or 0 where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.normal_maps import read_normals_png
from lotus_recon.types import BoolArray


@dataclass(frozen=True, eq=False)
class ObjectNormals:
    """One object; normals in camera axes (x right, y down, z forward), K with the first pixel centre at 0.5."""

    name: str
    normals: NDArray[np.float64]  # (H, W, 3)
    mask: BoolArray  # (H, W)
    K: NDArray[np.float64] | None  # None: orthographic
    depth: NDArray[np.float64] | None  # (H, W) millimetres, NaN where unknown


def read_object(folder: Path) -> ObjectNormals:
    """The object of a folder. Raises InputError when a file is missing or broken."""
    for name in ("normal_map.png", "mask.png"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}; needed: normal_map.png, mask.png, and K.txt, depth_gt.npz if known"
            )
    normals, normals_valid = read_normals_png(folder / "normal_map.png")
    mask = (read_rgb(folder / "mask.png")[..., 0] > 127) & normals_valid
    return ObjectNormals(
        folder.name, normals * np.array([1.0, -1.0, -1.0]), mask, _K(folder / "K.txt"), _depth(folder / "depth_gt.npz")
    )


def _K(path: Path) -> NDArray[np.float64] | None:
    if not path.is_file():
        return None
    try:
        K = np.loadtxt(path, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path} is not a table of numbers: {error}") from None
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise InputError(f"{path} holds {K.shape} numbers; allowed: (3, 3), finite")
    K[:2, 2] += 0.5
    return K


def _depth(path: Path) -> NDArray[np.float64] | None:
    if not path.is_file():
        return None
    arrays = load_arrays(path)
    if "depth_gt" not in arrays:
        raise InputError(f"{path} has no depth_gt")
    depth = arrays["depth_gt"].astype(np.float64)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
