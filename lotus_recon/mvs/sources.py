"""The photos that a view is compared with, as flat arrays that compiled code reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.types import Camera, FloatArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo with its camera. ``gray`` (H, W) float32 in [0, 1]."""

    gray: Floats
    camera: Camera
    cam_from_world: NDArray[np.float64]  # (4, 4)

    def halved(self, times: int) -> Photo:
        """The photo at 1 / 2^times of its size."""
        width, height = (max(1, round(side / 2**times)) for side in self.camera.size)
        if (width, height) == self.camera.size:
            return self
        gray = cv2.resize(self.gray, (width, height), interpolation=cv2.INTER_AREA)
        return Photo(gray, self.camera.resized(width, height), self.cam_from_world)


@dataclass(frozen=True, eq=False)
class Surface:
    """What an earlier pass found of a view: planes (H, W, 3), 0 where unknown, and how sure they are, 0 to 1 (H, W)."""

    planes: Floats
    certainty: Floats


class Sources(NamedTuple):
    """N photos seen from one view. Photos and maps lie row by row, one behind the other."""

    gray: Floats  # values of all photos
    start: NDArray[np.int64]  # (N,) where each begins
    size: NDArray[np.int32]  # (N, 2) width and height
    turn: Floats  # (N, 3, 3) K_j R_j K^-1: pixel (x, y, 1) of the view to direction in pixels of the source
    shift: Floats  # (N, 3) K_j t_j: what a pixel of inverse depth 1 adds
    center: Floats  # (N, 3) camera centre in the view's camera axes
    focal: Floats  # (N,) in pixels, as a multiple of the view's
    planes: Floats  # (sum of sizes, 3) their surfaces, empty where there are none yet
    certainty: Floats
    map_start: NDArray[np.int64]  # (N,)
    map_size: NDArray[np.int32]  # (N, 2)


def sources_of(view: Photo, photos: Sequence[Photo], surfaces: Sequence[Surface] | None) -> Sources:
    """The photos as sources of a view; ``surfaces`` of the same photos, of any size."""
    world_from_view = invert_rigid(view.cam_from_world)
    pose = np.stack([photo.cam_from_world @ world_from_view for photo in photos])
    K = np.stack([photo.camera.K for photo in photos])
    sizes = np.array([photo.camera.size for photo in photos], np.int32)
    turned, shift = pose[:, :3, :3], pose[:, :3, 3]
    maps = surfaces or [Surface(np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.float32)) for _ in photos]
    map_sizes = np.array([each.certainty.shape[::-1] for each in maps], np.int32)
    return Sources(
        gray=_flat([photo.gray for photo in photos], 1)[:, 0].copy(),
        start=_starts(sizes),
        size=sizes,
        turn=_floats(K @ turned @ np.linalg.inv(view.camera.K)),
        shift=_floats((K @ shift[..., None])[..., 0]),
        center=_floats(-(turned.transpose(0, 2, 1) @ shift[..., None])[..., 0]),
        focal=_floats(np.array([photo.camera.fx / view.camera.fx for photo in photos])),
        planes=_flat([each.planes for each in maps], 3),
        certainty=_flat([each.certainty for each in maps], 1)[:, 0].copy(),
        map_start=_starts(map_sizes),
        map_size=map_sizes,
    )


def _floats(values: FloatArray) -> Floats:
    return np.ascontiguousarray(values, np.float32)


def _flat(maps: Sequence[FloatArray], channels: int) -> Floats:
    return np.concatenate([np.asarray(each, np.float32).reshape(-1, channels) for each in maps])


def _starts(sizes: NDArray[np.int32]) -> NDArray[np.int64]:
    count = sizes.astype(np.int64).prod(1)
    return np.cumsum(count) - count
