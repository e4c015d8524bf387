"""The photos as texture sees them: undistorted like those of the other stages, but with all the pixels they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.depth import erode
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.images import Photo, read_mask, read_rgb
from lotus_recon.io.scene_maps import read_ahead
from lotus_recon.progress import track
from lotus_recon.sfm.undistortion import pinhole_camera, undistort, undistort_mask
from lotus_recon.types import BoolArray, Scene, View

_MASK_BORDER_PX = 3  # that texels take from beside what they show


@dataclass(frozen=True, eq=False)
class Loaded:
    """A photo: its view, whose camera has the size of ``rgb`` (H, W, 3); the pixels to use (H, W), None for all."""

    view: View
    rgb: NDArray[np.uint8]
    usable: BoolArray | None


@dataclass(frozen=True, eq=False)
class TexturePhotos:
    """Photos of posed views, read when needed, their longer edge at most ``max_size`` pixels (0: any)."""

    scene: Scene
    photos: Sequence[Photo]
    source_cameras: Mapping[str, SourceCamera]
    masks: Mapping[str, Path] = field(default_factory=dict)
    max_size: int = 0

    def views(self, without: Collection[str] = ()) -> list[View]:
        """Those of the scene, at full size, but for some names. Raises InputError for one without photo."""
        photos = {photo.name for photo in self.photos}
        missing = [view.name for view in self.scene.views if view.name not in photos]
        if missing:
            raise InputError(f"no photo of view {missing[0]!r} ({len(missing)} missing)")
        return [
            replace(view, camera=pinhole_camera(self.source_cameras[view.name], self.max_size))
            for view in self.scene.views
            if view.name not in without
        ]

    def read(self, view: View) -> Loaded:
        """The photo of a view. Raises InputError when it cannot be read or has another size than its camera."""
        path = next(photo.path for photo in self.photos if photo.name == view.name)
        source = self.source_cameras[view.name]
        rgb = read_rgb(path)
        if rgb.shape[:2] != (source.height, source.width):
            size = f"{rgb.shape[1]}x{rgb.shape[0]}"
            raise InputError(f"{path} is {size} pixels, its camera {source.width}x{source.height}: did it change?")
        usable = None
        if view.name in self.masks:
            mask = read_mask(self.masks[view.name], source.width, source.height)
            usable = erode(undistort_mask(mask, source, view.camera), _MASK_BORDER_PX)
        return Loaded(view, undistort(rgb, source, view.camera), usable)

    def stream(self, views: Sequence[View], what: str) -> Iterator[Loaded]:
        """The photos of views in order; a thread reads the next one meanwhile."""
        photos: Iterable[Loaded] = read_ahead(self.read, views)
        return track(photos, what, len(views))


def held_out(views: Sequence[View], count: int) -> list[str]:
    """Names of ``count`` views, spread evenly, the ends left out. Raises InputError for too many."""
    if count >= len(views):
        raise InputError(f"--holdout-photos {count}: there are {len(views)} photos, and one at least must colour")
    spacing = len(views) / max(count, 1)
    return [views[int((number + 0.5) * spacing)].name for number in range(count)]
