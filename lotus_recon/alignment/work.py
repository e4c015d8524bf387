"""What alignment reads of each view again and again, in files: memory does not grow with their number.

The files are left uncompressed: every iteration looks up a few hundred values in every map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lotus_recon.alignment.local import DepthDiscontinuities, LocalField, Residuals, Smoothing
from lotus_recon.alignment.views import AlignedMap, AlignedView, Layer
from lotus_recon.io.maps import load_arrays, save_arrays
from lotus_recon.io.scene_maps import ANY_DEPTH, SceneMaps
from lotus_recon.types import DepthMap, View

_KEPT = 16  # predictions in memory: all of a small scene
_LAYER = ("xy", "log_ratio", "weight", "smoothing", "neighbours")  # arrays of a layer


class WorkingMaps:
    """Predictions, depth discontinuities and corrections of the views, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._predictions = SceneMaps(folder / "predictions", ("depth",), ANY_DEPTH, kept=_KEPT, compressed=False)

    def add_prediction(self, view: View, prediction: DepthMap) -> None:
        """Keep a prediction; what a killed run left is not written again."""
        if not self._predictions.has(view):
            self._predictions.save(view, prediction)

    def prediction(self, view: View) -> DepthMap:
        """The predicted depth of a view, (H, W)."""
        return self._predictions.load(view).required_depth

    def save_discontinuities(self, view: View, discontinuities: DepthDiscontinuities) -> None:
        """Keep the depth discontinuities of a view; those of an earlier fit are replaced."""
        path = self._path("discontinuities", view)
        save_arrays(path, False, across=discontinuities.across, down=discontinuities.down)

    def discontinuities(self, view: View) -> DepthDiscontinuities:
        """The depth discontinuities of a view."""
        return DepthDiscontinuities(**load_arrays(self._path("discontinuities", view)))

    def save_layers(self, view: View, layers: Sequence[Layer]) -> None:
        """Keep the corrections of a view; earlier ones are replaced."""
        arrays: dict[str, Any] = {}
        for i, layer in enumerate(layers):
            points, s = layer.field.residuals, layer.smoothing
            smoothing = np.array([s.near, s.far, s.strength])
            neighbours = np.array(layer.field.neighbours)
            values = (points.xy, points.log_ratio, points.weight, smoothing, neighbours)
            arrays |= {f"{name}_{i}": value for name, value in zip(_LAYER, values, strict=True)}
        save_arrays(self._path("corrections", view), False, **arrays)

    def layers(self, view: View) -> tuple[Layer, ...]:
        """The corrections of a view; none before any were saved."""
        path = self._path("corrections", view)
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

    def _path(self, kind: str, view: View) -> Path:
        return self.folder / kind / f"{view.stem}.npz"
