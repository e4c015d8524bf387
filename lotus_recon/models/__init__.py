"""Depth and normal estimators behind one protocol. Importing this package loads no network library.

model = load_model("lotus-d")          # or "DEPTH,NORMAL", a folder, a Hub id, "precomputed"
prediction = model.predict(rgb)        # rgb uint8 (H, W, 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lotus_recon.models.base import Model, ModelInfo, ModelOptions
    from lotus_recon.models.registry import (
        available_models,
        check_model,
        fetch_model,
        load_model,
        make_model,
        model_fingerprint,
        options_of,
    )

__all__ = [
    "Model",
    "ModelInfo",
    "ModelOptions",
    "available_models",
    "check_model",
    "fetch_model",
    "load_model",
    "make_model",
    "model_fingerprint",
    "options_of",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "base" if name.startswith("Model") else "registry"
    return getattr(import_module(f"{__name__}.{home}"), name)
