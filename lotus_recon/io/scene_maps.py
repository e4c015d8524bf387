"""The maps of a scene in one folder: ``<view>.npz`` per view, checked when read, the last few kept in memory.

No stage holds the maps of all views. It reads one where it needs one, so its memory does not grow with the scene.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_arrays, parse_depth, parse_meta, parse_normals, save_maps
from lotus_recon.threads import Item, Result, background, in_threads
from lotus_recon.types import DepthKind, DepthMap, FloatArray, NormalMap, View

EVERY_PART = ("depth", "confidence", "normals", "sigma", "depth_sigma")
SCENE_DEPTH = (DepthKind.SCENE,)
POSED_DEPTH = (DepthKind.SCENE, DepthKind.METRIC)
ANY_DEPTH = tuple(DepthKind)


@dataclass(frozen=True, eq=False)
class ViewMaps:
    """The maps of one view at the size (H, W) of its camera; None for what its file lacks, or was not asked for."""

    depth: DepthMap | None = None
    confidence: NDArray[np.float32] | None = None  # (H, W)
    normals: NormalMap | None = None
    sigma: NDArray[np.float32] | None = None  # (H, W) standard deviation of depth, relative to it
    depth_sigma: NDArray[np.float32] | None = None  # (H, W) that of the members of an ensemble, in the unit of depth
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def required_depth(self) -> DepthMap:
        """The depth. Raises InputError where there is none; maps read with ``kinds`` always have one."""
        if self.depth is None:
            raise InputError("these maps hold no depth")
        return self.depth

    @property
    def depth_or_zero(self) -> NDArray[np.float32]:
        """(H, W) float32 depth, 0 where it is invalid."""
        depth = self.required_depth
        return np.where(depth.valid, depth.values, np.float32(0))

    @property
    def weight(self) -> NDArray[np.float32]:
        """(H, W) float32 confidence, 1 where the file has none."""
        if self.confidence is not None:
            return self.confidence
        shape = (self.depth or self.normals).shape  # type: ignore[union-attr]  # one of them is there
        return np.ones(shape, np.float32)


class SceneMaps:
    """``<stem>.npz`` of a folder. Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        parts: Collection[str] = EVERY_PART,
        kinds: Collection[DepthKind] | None = None,
        kept: int = 0,
        compressed: bool = True,
    ) -> None:
        """Reads only these ``parts`` of each file; ``kept`` maps stay in memory.

        Files without depth of one of these ``kinds`` are refused (None: depth of every kind, or none).
        ``compressed`` says how ``save`` writes: files that are read many times are better left uncompressed.
        """
        self.folder, self._compressed = folder, compressed
        self._unread = set(EVERY_PART) - set(parts)
        self._kinds = kinds
        self._save: Callable[..., object] = _now
        self._load = cached(LRUCache(kept), key=attrgetter("name"), lock=Lock())(self._read)

    def path(self, view: View) -> Path:
        """Where the maps of a view are."""
        return self.folder / f"{view.stem}.npz"

    def has(self, view: View) -> bool:
        """Whether the view has a file."""
        return self.path(view).is_file()

    def load(self, view: View) -> ViewMaps:
        """The maps of a view. Raises InputError when the file is missing, broken, or of another size or kind."""
        return self._load(view)

    def normals(self, view: View) -> NormalMap | None:
        """The normals of a view; None where there is no file, or none in it. Raises InputError for a wrong file."""
        return self.load(view).normals if self.has(view) else None

    def stream(self, views: Iterable[View]) -> Iterator[ViewMaps]:
        """The maps of views in order; a thread reads the next one meanwhile."""
        return read_ahead(self.load, views)

    def save(
        self,
        view: View,
        depth: DepthMap | None = None,
        confidence: FloatArray | None = None,
        normals: NormalMap | None = None,
        meta: Mapping[str, Any] | None = None,
        depth_sigma: FloatArray | None = None,
        normals_sigma_deg: FloatArray | None = None,
        sigma: FloatArray | None = None,
    ) -> None:
        """Write the maps of a view by rename: depth (0 where invalid), confidence (H, W), normals and sigmas (H, W)."""
        if depth is not None:
            depth = replace(depth, values=np.where(depth.valid, depth.values, np.float32(0)))
        sigmas = depth_sigma, normals_sigma_deg, sigma
        self._save(save_maps, self.path(view), depth, normals, confidence, meta, self._compressed, *sigmas)

    @contextlib.contextmanager
    def saving_behind(self) -> Iterator[SceneMaps]:
        """The same maps, which a thread saves while the caller goes on.

        At the end of the block all are saved, or the first failure is raised.
        """
        maps = copy.copy(self)
        with background() as maps._save:
            yield maps

    def _read(self, view: View) -> ViewMaps:
        path = self.path(view)
        arrays = load_arrays(path, without=self._unread | {f"{part}_valid" for part in self._unread})
        meta = parse_meta(path, arrays)
        confidence, sigma, depth_sigma = (
            arrays[name].astype(np.float32, copy=False) if name in arrays else None
            for name in ("confidence", "sigma", "depth_sigma")
        )
        maps = ViewMaps(
            parse_depth(path, arrays, meta), confidence, parse_normals(path, arrays), sigma, depth_sigma, meta
        )
        self._check(view, maps)
        return maps

    def _check(self, view: View, maps: ViewMaps) -> None:
        path = self.path(view)
        if self._kinds is not None and maps.depth is None:
            raise InputError(f"{path} has no 'depth'")
        if self._kinds is not None and maps.depth is not None and maps.depth.kind not in self._kinds:
            allowed = ", ".join(kind.value for kind in self._kinds)
            raise InputError(f"{path} has {maps.depth.kind.value} depth; allowed: {allowed} (align it first)")
        for name in EVERY_PART:
            one = getattr(maps, name)
            if one is not None and one.shape[1::-1] != view.camera.size:
                found, expected = ("{}x{}".format(*size) for size in (one.shape[1::-1], view.camera.size))
                raise InputError(
                    f"{path}: {name} is {found} pixels, the camera of {view.name} {expected}: they must agree"
                )


def _now(work: Callable[..., object], *arguments: Any) -> None:
    work(*arguments)


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
    """``read(item)`` of every item in order; as many are read ahead as there are ``threads``."""
    return in_threads(read, items, threads)
