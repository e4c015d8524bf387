"""Options of the adaptation of the network to a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from lotus_recon.options import Options

AUTO_SHARE = 0.5  # of the time of all stages before, that --adapt auto may take


@dataclass(frozen=True)
class AdvancedAdaptation(Options):
    """Options that few need to turn, in YAML only."""

    # Largest step of the optimiser (AdamW).
    step_size: Annotated[float, Interval(gt=0, le=1)] = 3e-4
    # Photos per step.
    photos_per_step: Annotated[int, Interval(ge=1, le=256)] = 4
    # Weight of the shapes that the network saw before, where nothing is known, beside the error where depth is known.
    hold: Annotated[float, Interval(ge=0, le=1000)] = 0.3
    # Rank of the low-rank matrices that a Lotus U-Net learns (LoRA).
    lora_rank: Annotated[int, Interval(ge=1, le=512)] = 16


@dataclass(frozen=True)
class AdaptationConfig(Options):
    """Whether, and for how long, the network learns a scene from what its photos agree on."""

    # on: adapt the network to the scene; off: never; auto: where that takes at most half as long
    # as all stages before it.
    adapt: Literal["auto", "on", "off"] = "auto"
    # Steps of the optimiser at most; it stops before where points kept aside get no better. None: 10 per photo, from
    # 240 to 400.
    adapt_steps: Annotated[int | None, Interval(ge=1, le=100_000)] = None
    advanced: AdvancedAdaptation = field(default_factory=AdvancedAdaptation)
