"""Options of the ablation, and its variants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval, MinLen

from lotus_recon.limits import Many, Seed
from lotus_recon.options import Options
from lotus_recon.training.config import ObjectiveConfig, Side, UNetSize, VaeSize


@dataclass(frozen=True)
class AblationConfig(Options):
    """A small latent model of our own, trained in every variant from the same start."""

    # Photos with depth, as make_rooms and make_worlds write them.
    rooms: Path = Path("work/rooms")
    # Size of a photo in training and evaluation.
    width: Side = 96
    height: Side = 64
    # Trainings of each variant, from seeds 0, 1, 2 and so on.
    seeds: Annotated[int, Interval(ge=1, le=100)] = 3
    # Steps of the VAE, which all variants share.
    vae_steps: Many = 800
    # Steps of each training.
    steps: Many = 600
    # Photos in a step.
    batch: Many = 16
    # Learning rate of both, which falls to 0.
    learning_rate: Annotated[float, Interval(gt=0, le=1)] = 5e-4
    # Photos of the validation rooms that are scored.
    photos: Many = 32
    # Noises that each photo is predicted from, where the network takes noise.
    noises: Annotated[int, Interval(ge=1, le=100)] = 3
    # Steps at inference of networks that were trained for many.
    inference_steps: Annotated[list[Annotated[int, Interval(ge=1, le=1000)]], MinLen(1)] = field(
        default_factory=lambda: [1, 2, 5, 10, 50]
    )
    unet: UNetSize = field(default_factory=lambda: UNetSize([48, 96, 96], 1, 32, 8))
    vae: VaeSize = field(default_factory=lambda: VaeSize([16, 32, 64, 64], 1))
    seed: Seed = 0


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    prediction_type: Literal["epsilon", "v_prediction", "sample"]
    timesteps: Literal["uniform", "single"]
    detail_preserver: bool
    mode: Literal["G", "D"]

    @property
    def label(self) -> str:
        """What people call it."""
        what = {"epsilon": "noise", "v_prediction": "v", "sample": "x0"}[self.prediction_type]
        steps = "many steps" if self.timesteps == "uniform" else "one step"
        return f"{what}, {steps}{', detail preserver' if self.detail_preserver else ''}, {self.mode}"

    @property
    def objective(self) -> ObjectiveConfig:
        """As training takes it."""
        return ObjectiveConfig(
            tasks=["depth"],
            prediction_type=self.prediction_type,
            timesteps=self.timesteps,
            detail_preserver=self.detail_preserver,
        )


VARIANTS = (
    Variant("epsilon-many", "epsilon", "uniform", False, "G"),
    Variant("v-many", "v_prediction", "uniform", False, "G"),
    Variant("x0-many", "sample", "uniform", False, "G"),
    Variant("epsilon-one", "epsilon", "single", False, "G"),
    Variant("v-one", "v_prediction", "single", False, "G"),
    Variant("x0-one", "sample", "single", False, "G"),
    Variant("x0-one-detail", "sample", "single", True, "G"),
    Variant("x0-one-d", "sample", "single", False, "D"),
    Variant("x0-one-detail-d", "sample", "single", True, "D"),
)
