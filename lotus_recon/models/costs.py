"""What a network will take, told before it is loaded."""

from __future__ import annotations

from lotus_recon.models.base import ModelInfo
from lotus_recon.models.config import PredictionConfig

_FULL_SIZE_S = 150.0  # a call, on two cores


def seconds_per_photo(config: PredictionConfig, info: ModelInfo, size: tuple[int, int], small_s: float) -> float:
    """Seconds on two cores for a photo of ``size`` (width, height), of which a small network's call takes ``small_s``.

    Nothing for stored maps.
    """
    from lotus_recon.models.tiling import network_calls

    if config.predictions is not None:
        return 0.0
    calls = config.ensemble * network_calls(config.tiles, info.processing_res, *size)
    return calls * (small_s if "nano" in info.name else _FULL_SIZE_S)
