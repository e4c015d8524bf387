"""Networks stay in memory from scene to scene."""

from __future__ import annotations

from typing import Any

from cachetools import LRUCache

from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.models.precomputed import PrecomputedModel
from lotus_recon.models.registry import load_from_files, model_fingerprint

_CAPACITY = 2  # models; a batch may mix two, and each may take gigabytes


class WarmModels:
    """A source of models for ``registry.set_model_source`` that loads each once."""

    def __init__(self) -> None:
        self._models: LRUCache[Any, Model] = LRUCache(_CAPACITY)
        self.loaded = 0  # how often weights were read

    def __call__(self, name: str, options: ModelOptions, device: str, dtype: str) -> Model:
        """The model, from memory where its files have not changed since."""
        if name == PrecomputedModel.name:
            return load_from_files(name, options, device, dtype)
        key = (name, options, device, dtype, model_fingerprint(name, options))
        if key not in self._models:
            while len(self._models) >= _CAPACITY:  # before the next is loaded: three may not fit
                self._models.popitem()
            self._models[key] = load_from_files(name, options, device, dtype)
            self.loaded += 1
        return self._models[key]
