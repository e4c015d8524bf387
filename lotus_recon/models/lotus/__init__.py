"""Lotus (He et al., "Lotus: Diffusion-based Visual Foundation Model for High-quality Dense Prediction", ICLR 2025).

model = LotusModel.from_pretrained("lotus-depth-d-v2-0-disparity")
model.raw(rgb)  # float32 (h, w, 3) in [0, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lotus_recon.models.lotus.model import LotusModel

__all__ = ["LotusModel"]


def __getattr__(name: str) -> Any:
    if name != "LotusModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lotus_recon.models.lotus.model import LotusModel

    return LotusModel
