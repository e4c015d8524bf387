"""Which way is up, from how people hold cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.normals import normalized
from lotus_recon.types import FloatArray

# Weight of "up is where the tops of the photos point" against "up is at right angles to every photo's horizon". Small:
# tilting a camera up or down changes the first and not the second, but alone the second cannot tell up from forward
# when all cameras look the same way.
_TOP_WEIGHT = 0.05


def estimate_up(cams_from_world: Sequence[FloatArray]) -> NDArray[np.float64]:
    """(3,) unit vector that points up in the world, from poses (4, 4) of upright photos.

    Minimises mean (right_i . up)^2 + w |up - top|^2, with right_i the horizontal axis of camera i and top the mean
    of the axes that point to the top of the photos.
    """
    right = np.stack([pose[0, :3] for pose in cams_from_world])
    top = normalized(-np.stack([pose[1, :3] for pose in cams_from_world]).mean(0))
    level = right.T @ right / len(right)
    return normalized(np.linalg.solve(level + _TOP_WEIGHT * np.eye(3), top))


def rotation_between(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """(3, 3) smallest rotation that turns the unit vector ``a`` (3,) into the unit vector ``b`` (3,)."""
    axis = np.cross(np.asarray(a, np.float64), np.asarray(b, np.float64))
    cosine = float(np.dot(a, b))
    if cosine < -1 + 1e-12:  # opposite: half a turn about any axis at right angles to a
        axis = normalized(np.cross(a, np.eye(3)[np.argmin(np.abs(a))]))
        return 2 * np.outer(axis, axis) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
