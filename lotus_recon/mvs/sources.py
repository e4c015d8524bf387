"""The photos that a view is compared with, as a few flat arrays: compiled code passes few arguments fast."""

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

# Columns of Sources.geometry and Sources.place.
TURN, SHIFT, CENTER, FOCAL = 0, 9, 12, 15
START, WIDTH, HEIGHT, MAP_START, MAP_WIDTH, MAP_HEIGHT = range(6)


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
        return Photo(np.asarray(gray, np.float32), self.camera.resized(width, height), self.cam_from_world)


@dataclass(frozen=True, eq=False)
class Surface:
    """What an earlier pass found of a view: planes (H, W, 3), 0 where unknown, and how sure they are, 0 to 1 (H, W)."""

    planes: Floats
    certainty: Floats


class Sources(NamedTuple):
    """N photos seen from one view. Photos and maps lie row by row, one behind the other.

    With K the intrinsics of the view, and K_j, R_j, t_j those of a source and its pose seen from the view:
    """

    gray: Floats  # values of all photos
    maps: Floats  # (pixels of all maps, 4) planes and certainty; empty where there are none yet
    # (N, 16) K_j R_j K^-1, which turns a pixel (x, y, 1) into a direction in pixels of the source, row by row; K_j t_j,
    # what inverse depth 1 adds to it; the camera's centre in camera axes of the view; its focal length / the view's
    geometry: Floats
    place: NDArray[np.int32]  # (N, 6) first pixel, width and height of the photo, and of its map


def sources_of(view: Photo, photos: Sequence[Photo], surfaces: Sequence[Surface] | None) -> Sources:
    """The photos as sources of a view; ``surfaces`` of the same photos, of any size."""
    maps = [] if surfaces is None else [np.dstack([each.planes, each.certainty]) for each in surfaces]
    sizes = [photo.camera.size for photo in photos]
    map_sizes = [each.shape[1::-1] for each in maps] or [(0, 0)] * len(photos)
    return Sources(
        gray=np.concatenate([photo.gray.ravel() for photo in photos]),
        maps=np.concatenate([np.zeros((0, 4), np.float32), *(each.reshape(-1, 4) for each in maps)]),
        geometry=np.stack([_geometry(view, photo) for photo in photos]).astype(np.float32),
        place=np.hstack([_places(sizes), _places(map_sizes)]).astype(np.int32),
    )


def _geometry(view: Photo, photo: Photo) -> NDArray[np.float64]:
    source_from_view = photo.cam_from_world @ invert_rigid(view.cam_from_world)
    R, t = source_from_view[:3, :3], source_from_view[:3, 3]
    K = photo.camera.K
    turn = K @ R @ np.linalg.inv(view.camera.K)
    return np.concatenate([turn.ravel(), K @ t, -R.T @ t, [photo.camera.fx / view.camera.fx]])


def _places(sizes: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """(N, 3) first pixel, width and height."""
    size = np.array(sizes, np.int64)
    count = size.prod(1)
    return np.column_stack([np.cumsum(count) - count, size])


def pixels_per_inverse_depth(view: Photo, sources: Sources, inverse_depth: float) -> float:
    """Pixels that points move in the sources per unit of inverse depth: upper quartile of the sources' medians."""
    H, W = view.gray.shape
    y, x = np.mgrid[0.5 : H : max(1, H // 16), 0.5 : W : max(1, W // 16)]
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    medians = [_median_move(geometry, pixels, inverse_depth) for geometry in sources.geometry.astype(np.float64)]
    return float(max(np.percentile(medians, 75), 1e-12))


def _median_move(geometry: FloatArray, pixels: FloatArray, inverse_depth: float) -> float:
    shift = geometry[SHIFT:CENTER, None]
    image = geometry[TURN:SHIFT].reshape(3, 3) @ pixels + shift * inverse_depth
    image = image[:, image[2] > 0]
    if image.shape[1] == 0:
        return 0.0
    moves = (shift[:2] - image[:2] / image[2] * shift[2]) / image[2]
    return float(np.median(np.linalg.norm(moves, axis=0)))
