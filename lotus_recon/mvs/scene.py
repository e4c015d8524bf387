"""The views of a scene, ready to be compared: their photos, sources and ranges of depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lotus_recon.geometry.points import seen_points
from lotus_recon.geometry.pose import transform
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.mvs.guides import Guides
from lotus_recon.mvs.photos import Photos
from lotus_recon.mvs.planes import resized
from lotus_recon.mvs.selection import choose_sources
from lotus_recon.mvs.sources import Floats, Photo
from lotus_recon.mvs.starts import through_points
from lotus_recon.types import FloatArray, Scene, View

_FEWEST_DEPTHS = 10  # that tell the range of depth of a view
_MARGIN = 1.3  # factor by which depth may exceed the range of sparse points and aligned depth
_KEPT = 2  # photos and estimates kept in memory, as a multiple of the sources of one view


class StereoScene:
    """A scene without the sparse points that the search must not use, and what its views are compared with.

    Excluding a view (``exclude``) takes it from the targets and from the sources of all others.
    """

    def __init__(self, scene: Scene, images_dir: Path, guides: Guides, config: MvsConfig) -> None:
        self._scene, self._guides = scene, guides
        self.views = scene.views
        self.kept = _KEPT * (config.advanced.sources + 1)
        self._photos = Photos(images_dir, config.advanced.match_size, self.kept)
        samples = [guides.guide(view).samples() for view in self.views]
        self.ranges = [self._range(index, sample.depth) for index, sample in enumerate(samples)]
        known = np.array([depth_range is not None for depth_range in self.ranges])
        self._sources = choose_sources(scene, dict(enumerate(samples)), known, config)
        self._excluded: set[int] = set()

    def _range(self, index: int, aligned: FloatArray) -> tuple[float, float] | None:
        """The nearest and the farthest depth that is looked for in a view; None where nothing tells."""
        depth = np.concatenate([self._points(index)[1], aligned])
        if len(depth) < _FEWEST_DEPTHS:  # then whatever of the scene lies before the camera
            depth = transform(self.views[index].cam_from_world, self._scene.points.xyz)[:, 2]
            depth = depth[depth > 0]
        if len(depth) == 0:
            return None
        near, far = np.percentile(depth, [1, 99])
        return float(near) / _MARGIN, float(far) * _MARGIN

    def _points(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Pixels (N, 2) and z-depth (N,) of the sparse points of a view."""
        xy, depth = seen_points(self._scene, index, np.ones(len(self._scene.points.xyz), bool))
        return xy[depth > 0], depth[depth > 0]

    def exclude(self, index: int) -> None:
        """Compare nothing with the photo of a view any more."""
        self._excluded.add(index)

    @property
    def targets(self) -> list[int]:
        """The views whose depth can be searched."""
        return [i for i, depth_range in enumerate(self.ranges) if depth_range is not None and self.sources_of(i)]

    def sources_of(self, index: int) -> list[int]:
        """The views whose photos a view is compared with, best first."""
        if index in self._excluded:
            return []
        return [int(j) for j in self._sources[index] if j not in self._excluded]

    def photo(self, view: View) -> Photo:
        """The photo of a view. Raises InputError when it cannot be read."""
        return self._photos.photo(view)

    def photos(self, index: int) -> tuple[Photo, list[Photo]]:
        """The photo of a view, and those of its sources."""
        return self.photo(self.views[index]), [self.photo(self.views[j]) for j in self.sources_of(index)]

    def starts(self, index: int) -> Floats:
        """(S, H, W, 3) planes to start from: of the sparse points, and of the aligned depth."""
        view = self.views[index]
        height, width = self.photo(view).gray.shape
        xy, depth = self._points(index)
        scale = np.array([width / view.camera.width, height / view.camera.height])
        aligned = [resized(planes, height, width) for planes in self._guides.guide(view).planes(view)]
        return np.stack([*through_points(xy * scale, depth, height, width), *aligned])
