"""What alignment reads of each view again and again, in files: memory does not grow with their number.

Maps are mapped into memory: every iteration looks up a few hundred values in every map, and reads no more of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache

from lotus_recon.alignment.local import DepthDiscontinuities, LocalField, Residuals, Smoothing
from lotus_recon.alignment.views import AlignedMap, AlignedView, Layer
from lotus_recon.io.maps import load_arrays, map_array, save_array, save_arrays
from lotus_recon.types import DepthKind, DepthMap, View

_MAPPED = 200  # arrays: each takes an open file
_LAYER = ("xy", "log_ratio", "weight", "smoothing", "neighbours")  # arrays of a layer


class WorkingMaps:
    """Predictions, depth discontinuities and corrections of the views, in files of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: LRUCache = LRUCache(_MAPPED)
        self._lock = Lock()

    def add_prediction(self, view: View, prediction: DepthMap) -> None:
        """Keep a prediction; what a killed run left is not written again."""
        if self._path("kind", view).is_file():
            return
        self._save("values", view, prediction.values)
        self._save("valid", view, prediction.valid)
        self._save("kind", view, np.array(prediction.kind.value))  # last: the others are there with it

    def prediction(self, view: View) -> DepthMap:
        """The predicted depth of a view, (H, W)."""
        values, valid, kind = (self._array(name, view) for name in ("values", "valid", "kind"))
        return DepthMap.checked_before(values, valid, DepthKind.parse(str(kind)))

    def save_discontinuities(self, view: View, discontinuities: DepthDiscontinuities) -> None:
        """Keep the depth discontinuities of a view; those of an earlier fit are replaced."""
        self._save("across", view, discontinuities.across)
        self._save("down", view, discontinuities.down)

    def discontinuities(self, view: View) -> DepthDiscontinuities:
        """The depth discontinuities of a view."""
        return DepthDiscontinuities(self._array("across", view), self._array("down", view))

    def save_layers(self, view: View, layers: Sequence[Layer]) -> None:
        """Keep the corrections of a view; earlier ones are replaced."""
        arrays: dict[str, Any] = {}
        for i, layer in enumerate(layers):
            points, s = layer.field.residuals, layer.smoothing
            smoothing = np.array([s.near, s.far, s.strength])
            neighbours = np.array(layer.field.neighbours)
            values = (points.xy, points.log_ratio, points.weight, smoothing, neighbours)
            arrays |= {f"{name}_{i}": value for name, value in zip(_LAYER, values, strict=True)}
        save_arrays(self._layers_file(view), False, **arrays)

    def layers(self, view: View) -> tuple[Layer, ...]:
        """The corrections of a view; none before any were saved."""
        path = self._layers_file(view)
        if not path.is_file():
            return ()
        arrays, discontinuities = load_arrays(path), self.discontinuities(view)
        layers = []
        for i in range(len(arrays) // len(_LAYER)):
            xy, log_ratio, weight, smoothing, neighbours = (arrays[f"{name}_{i}"] for name in _LAYER)
            field = LocalField(Residuals(xy, log_ratio, weight), discontinuities, int(neighbours))
            layers.append(Layer(field, Smoothing(*smoothing.tolist())))
        return tuple(layers)

    def map(self, aligned: AlignedView) -> AlignedMap:
        """The map of a view with its corrections."""
        return replace(self.fitted_map(aligned), layers=self.layers(aligned.view))

    def fitted_map(self, aligned: AlignedView) -> AlignedMap:
        """The map of a view by scale and shift alone."""
        return AlignedMap(self.prediction(aligned.view), aligned.fit, aligned.predicted.jump)

    def _save(self, name: str, view: View, array: np.ndarray) -> None:
        path = self._path(name, view)
        save_array(path, array)
        with self._lock:
            self._mapped.pop(path, None)

    def _array(self, name: str, view: View) -> np.ndarray:
        path = self._path(name, view)
        with self._lock:
            if path not in self._mapped:
                self._mapped[path] = map_array(path)
            array: np.ndarray = self._mapped[path]
            return array

    def _path(self, array: str, view: View) -> Path:
        return self.folder / array / f"{view.stem}.npy"

    def _layers_file(self, view: View) -> Path:
        return self.folder / "corrections" / f"{view.stem}.npz"
