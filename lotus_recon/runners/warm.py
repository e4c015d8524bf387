"""Networks stay in memory from scene to scene."""

from __future__ import annotations

from collections import OrderedDict

from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.models.precomputed import PrecomputedModel
from lotus_recon.models.registry import load_anew, model_fingerprint

_KEPT = 2  # a batch may mix two models; each may take gigabytes


class WarmModels:
    """A source of models for ``registry.set_model_source`` that loads each once."""

    def __init__(self) -> None:
        self._models: OrderedDict[tuple[object, ...], Model] = OrderedDict()
        self.loaded = 0  # how often weights were read

    def __call__(self, name: str, options: ModelOptions, device: str, dtype: str) -> Model:
        """The model, from memory where its files have not changed since."""
        if name == PrecomputedModel.name:
            return load_anew(name, options, device, dtype)
        key = (name, options, device, dtype, model_fingerprint(name, options))
        if key not in self._models:
            while len(self._models) >= _KEPT:
                self._models.popitem(last=False)
            self._models[key] = load_anew(name, options, device, dtype)
            self.loaded += 1
        self._models.move_to_end(key)
        return self._models[key]
