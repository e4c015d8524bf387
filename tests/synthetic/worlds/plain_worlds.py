"""Small things with known answers, for the tests of worlds."""

from __future__ import annotations

import numpy as np

SMALL = ("--count", "2", "--views", "2", "--size", "48x36", "--catalog", "procedural", "--workers", "1")


def square(side: float) -> tuple[np.ndarray, np.ndarray]:
    """Two triangles (2, 3, 3) around the origin of the plane z = 0, and their uv (2, 3, 2) over one repetition."""
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    corners = np.concatenate([side * (uv - 0.5), np.zeros((4, 1), np.float32)], axis=1).astype(np.float32)
    order = np.array([[0, 1, 2], [0, 2, 3]])
    return corners[order], uv[order]


def disc_picture(side: int = 128) -> np.ndarray:
    """(side, side, 4): red, opaque within a disc of radius 0.3 of the width."""
    place = (np.arange(side) + 0.5) / side - 0.5
    picture = np.zeros((side, side, 4), np.uint8)
    picture[..., 0] = 255
    picture[..., 3] = 255 * (np.hypot(*np.meshgrid(place, place)) < 0.3)
    return picture
