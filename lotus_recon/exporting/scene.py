"""What every target gets of a scene: views under flat names, their photos and maps one after the other, cloud, mesh."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.exporting.names import flat_names
from lotus_recon.geometry.consistency import SampledDepth, coarse_samples, overlap_shares
from lotus_recon.geometry.plane_normals import plane_normals
from lotus_recon.io.images import read_mask, read_rgb, write_jpeg, write_png
from lotus_recon.io.meshes import PointCloud, read_points
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps, read_ahead
from lotus_recon.sfm.images_stage import mask_path
from lotus_recon.threads import Result, in_threads, thread_count
from lotus_recon.types import BoolArray, NormalMap, Scene, View
from lotus_recon.workspace import write_atomically

_JPEG_QUALITY = 98
_STRAY = 0.001  # share of the pixels of a view that may be nearer than all else
_MIN_PARALLAX_DEG = 5.0  # a neighbour at a smaller angle is less worth to stereo
_MOST_THREADS = 4  # each holds the maps of a view


@dataclass(frozen=True, eq=False)
class ExportView:
    """One view; maps (H, W) are of the size of its camera."""

    view: View  # under its flat name
    photo: Path
    depth: NDArray[np.float32]  # (H, W) z-depth in the unit of the poses, 0 where unknown or contradicted by others
    confidence: NDArray[np.float32]  # (H, W) 0 to 1
    normals: NormalMap  # of the depth, and as predicted where there is none
    unchecked_depth: NDArray[np.float32]  # (H, W) with what other views contradict, for readers that take no gaps
    used: BoolArray | None = None  # (H, W) the pixels of the photo that its mask leaves; None: it has no mask

    @cached_property
    def normals_of_depth(self) -> NDArray[np.float32]:
        """(H, W, 3) OpenCV camera axes, 0 where the depth is unknown."""
        known = self.normals.valid & (self.depth > 0)
        return np.where(known[..., None], self.normals.values, np.float32(0))

    @property
    def has_depth(self) -> bool:
        """Whether any pixel has depth."""
        return bool(self.depth.any())

    def copy_photo(self, folder: Path, name: str) -> str:
        """Write the photo as ``name`` in a folder: as it is where the suffix is the same, otherwise as JPEG or PNG."""
        target = folder / name
        if self.photo.suffix.lower() == target.suffix.lower():
            write_atomically(target, lambda part: shutil.copyfile(self.photo, part))
        elif target.suffix == ".jpg":
            write_jpeg(target, read_rgb(self.photo), _JPEG_QUALITY, subsampling=0)
        else:
            write_png(target, read_rgb(self.photo))
        return name


@dataclass(frozen=True)
class Folders:
    """Where the stages left what is exported; maps are ``<stem>.npz``."""

    images: Path
    checked: Path  # depth and confidence after the consistency check
    depth: Path  # depth before it
    prediction: Path  # normals


class ExportViews:
    """A posed scene with its maps; iterate ``views`` for one view after the other."""

    def __init__(self, scene: Scene, folders: Folders) -> None:
        self._original, self._folders = scene, folders
        names = flat_names([view.name for view in scene.views])
        self.scene = replace(
            scene, views=tuple(replace(view, name=name) for view, name in zip(scene.views, names, strict=True))
        )
        self.names = {view.name: name for view, name in zip(scene.views, names, strict=True)}  # original -> flat
        self._checked = SceneMaps(folders.checked, ("depth", "confidence"), POSED_DEPTH)

    @property
    def unit(self) -> str:
        """Of poses, depth, points and mesh."""
        return "metres" if self.scene.metric else "units of the poses"

    @cached_property
    def overlap(self) -> NDArray[np.float64]:
        """(V, V) how much of view i view j sees, from an angle that stereo can use; 0 where nothing is known."""
        return overlap_shares(self._original.views, self._survey[0], _MIN_PARALLAX_DEG)

    @cached_property
    def nearest(self) -> float:
        """Depth that only stray pixels of any view fall below; infinite where no view has depth."""
        return self._survey[1]

    @cached_property
    def _survey(self) -> tuple[list[SampledDepth], float]:
        """Samples of every map, and the nearest depth: what targets must know before they write a view."""
        samples, nearest = [], np.inf
        for depth in in_threads(self._unchecked_depth_of, self._original.views, _threads()):
            samples.append(coarse_samples(depth, depth > 0))
            if depth.any():
                nearest = min(nearest, float(np.quantile(depth[depth > 0][::7], _STRAY)))
        return samples, nearest

    @cached_property
    def has_masks(self) -> bool:
        """Whether any photo has a mask."""
        return any(mask_path(self._folders.images, view).is_file() for view in self._original.views)

    @cached_property
    def without_depth(self) -> tuple[str, ...]:
        """Original names of the views that have no depth map."""
        return tuple(view.name for view in self._original.views if not self._checked.has(view))

    def views(self) -> Iterator[ExportView]:
        """Every view in the order of the scene; one is read ahead."""
        return read_ahead(self._view, range(len(self.scene.views)))

    def each_view(self, write: Callable[[ExportView], Result]) -> Iterator[Result]:
        """``write(view)`` of every view in the order of the scene; a few are read and written at once."""
        return in_threads(lambda index: write(self._view(index)), range(len(self.scene.views)), _threads())

    def _unchecked_depth_of(self, view: View) -> NDArray[np.float32]:
        """(H, W) of a view under its original name; 0 where it is unknown, and of a view that was left out."""
        if not self._checked.has(view):
            return np.zeros(view.camera.size[::-1], np.float32)
        return SceneMaps(self._folders.depth, ("depth",), POSED_DEPTH).load(view).depth_or_zero

    def _view(self, index: int) -> ExportView:
        view = self._original.views[index]
        depth = confidence = np.zeros(view.camera.size[::-1], np.float32)
        if self._checked.has(view):
            maps = self._checked.load(view)
            depth = maps.depth_or_zero
            confidence = np.where(depth > 0, maps.weight, np.float32(0))
        whole = self._unchecked_depth_of(view)
        normals = self._normals(view, whole)
        photo = self._folders.images / view.name
        return ExportView(self.scene.views[index], photo, depth, confidence, normals, whole, self._mask(view))

    def _mask(self, view: View) -> BoolArray | None:
        path = mask_path(self._folders.images, view)
        return read_mask(path, *view.camera.size) if path.is_file() else None

    def _normals(self, view: View, depth: NDArray[np.float32]) -> NormalMap:
        """Those of the depth (H, W), where it has any; elsewhere as predicted."""
        values, known = plane_normals(depth, depth > 0, np.linalg.inv(view.camera.K))
        predicted = SceneMaps(self._folders.prediction, ("normals",)).normals(view)
        if predicted is None:
            return _merged(values, known, values, np.zeros_like(known))
        return _merged(values, known, predicted.values, predicted.valid)


class ExportScene(ExportViews):
    """What targets get: the views, the dense cloud and the mesh."""

    def __init__(self, scene: Scene, folders: Folders, cloud: Path, mesh: Path) -> None:
        super().__init__(scene, folders)
        self._cloud_file, self.mesh_file = cloud, mesh

    @cached_property
    def cloud(self) -> PointCloud:
        """The dense cloud, in the frame of the poses."""
        return read_points(self._cloud_file)


def _threads() -> int:
    return min(thread_count(), _MOST_THREADS)


def _merged(
    first: NDArray[np.float32], known: BoolArray, other: NDArray[np.float32], other_known: BoolArray
) -> NormalMap:
    return NormalMap(np.where(known[..., None], first, other), known | other_known)
