"""Networks of every variant and seed, each from the same start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lotus_recon.models.lotus.checkpoint_folder import save_checkpoint_folder
from lotus_recon.models.lotus.checkpoints import METADATA_FILE
from lotus_recon.models.lotus.parts import Parts
from lotus_recon.training.ablation.config import AblationConfig, Variant
from lotus_recon.training.ablation.vae import load_vae, train_vae, training_data
from lotus_recon.training.checkpoints import commit_folder
from lotus_recon.training.config import LoopConfig, OptimizerConfig, StartConfig, TrainConfig
from lotus_recon.training.loop import configured_parts, train
from lotus_recon.training.networks import starting_parts
from lotus_recon.training.objective import formulation

_CPU = torch.device("cpu")
_STATES = 2  # of the task switcher: depth, and the image


def make_vae(config: AblationConfig, out: Path) -> Any:
    """The trained VAE in ``out``/vae; trained first where it is not there."""
    folder = out / "vae"
    if not (folder / "vae").is_dir():
        train_vae(config, _new_parts(config, config.seed).vae, folder)
    return load_vae(folder)


def train_variant(config: AblationConfig, variant: Variant, seed: int, vae: Any, out: Path) -> Path:
    """Train one network, or go on; the folder of its checkpoint. Finished ones are not trained again."""
    start = out / "starts" / f"seed_{seed}"
    if not (start / METADATA_FILE).is_file():
        parts = replace(_new_parts(config, seed), vae=vae)
        metadata = formulation(TrainConfig(objective=variant.objective, processing_res=0), _STATES)
        commit_folder(start, lambda folder: save_checkpoint_folder(parts, metadata, None, folder))
    folder = out / "runs" / variant.name / f"seed_{seed}"
    train(training_config(config, variant, seed, start), folder, configured_parts())
    return folder / "model"


def training_config(config: AblationConfig, variant: Variant, seed: int, start: Path) -> TrainConfig:
    """As ``pipelines.train`` takes it."""
    return TrainConfig(
        start=StartConfig(checkpoint=start, mode=variant.mode),
        objective=variant.objective,
        data=training_data(config),
        optimizer=OptimizerConfig(learning_rate=config.learning_rate, schedule="cosine", warmup_steps=50),
        loop=LoopConfig(
            steps=config.steps,
            total_batch=config.batch,
            ema_decay=0.99,
            checkpoint_every=max(1, config.steps // 10),
            checkpoint_limit=1,
            validate_every=config.steps,
            log_every=50,
            tracker="none",
        ),
        processing_res=0,
        seed=seed,
    )


def _new_parts(config: AblationConfig, seed: int) -> Parts:
    return starting_parts(StartConfig(mode="D", unet=config.unet, vae=config.vae), _STATES, seed, _CPU)
