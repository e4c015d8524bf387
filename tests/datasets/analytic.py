"""An analytic scene, and the files of data sets that show it: a tilted plane with a sphere in front of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lotus_recon.types import BoolArray

PLANE = np.array([0.25, 0.2, 1.0]) / np.linalg.norm([0.25, 0.2, 1.0])  # plane: PLANE . point = PLANE_OFFSET
PLANE_OFFSET = 4.0
CENTER, RADIUS = np.array([0.3, -0.2, 2.5]), 0.7


@dataclass(frozen=True, eq=False)
class Truth:
    """What the rays (H, W, 3) of a camera meet."""

    factor: NDArray[np.float64]  # (H, W) what a ray is multiplied by to reach the surface
    points: NDArray[np.float64]  # (H, W, 3)
    normals: NDArray[np.float64]  # (H, W, 3) facing the camera
    sphere: BoolArray  # (H, W)

    @property
    def depth(self) -> NDArray[np.float64]:
        """(H, W) z-depth."""
        return self.points[..., 2]

    @property
    def distance(self) -> NDArray[np.float64]:
        """(H, W) to the camera centre."""
        return np.linalg.norm(self.points, axis=-1)


def look(rays: NDArray[np.float64], scale: float = 1.0) -> Truth:
    """The scene, ``scale`` times as large, along ``rays``."""
    factor = PLANE_OFFSET * scale / (rays @ PLANE)
    normals = np.broadcast_to(-PLANE, rays.shape)
    a, b = (rays**2).sum(-1), rays @ (CENTER * scale)
    discriminant = b**2 - a * scale**2 * (CENTER @ CENTER - RADIUS**2)
    sphere = discriminant > 0
    factor = np.where(sphere, (b - np.sqrt(np.maximum(discriminant, 0))) / a, factor)
    points = rays * factor[..., None]
    return Truth(
        factor, points, np.where(sphere[..., None], (points - CENTER * scale) / (RADIUS * scale), normals), sphere
    )


def write_hdf5(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=values, compression="gzip")


def write_photo(path: Path, height: int, width: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_png(path: Path, values: NDArray[Any]) -> None:
    """8 or 16 bits; colour is RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values if values.ndim == 2 else values[..., ::-1])


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def cut(path: Path) -> None:
    """Keep the first half of a file, as an interrupted extraction does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
