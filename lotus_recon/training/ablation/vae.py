"""The VAE that all variants share, trained on photos and on depth as a picture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from lotus_recon.progress import report
from lotus_recon.training.ablation.config import AblationConfig
from lotus_recon.training.checkpoints import commit_folder, load_latest, save_checkpoint
from lotus_recon.training.config import DataConfig, ObjectiveConfig, SetConfig
from lotus_recon.training.data import Batches

log = logging.getLogger(__name__)

_KL_WEIGHT = 1e-6  # as in Stable Diffusion (Rombach et al., CVPR 2022, appendix G)
_EVERY = 100  # steps between checkpoints
_MEASURED = 8  # batches that the scale of the latents is measured on


def training_data(config: AblationConfig) -> DataConfig:
    """What VAE and networks learn from."""
    return DataConfig([SetConfig("rooms", config.rooms, 1.0, config.width, config.height)], smallest_crop=0.7)


def train_vae(config: AblationConfig, vae: Any, folder: Path) -> None:
    """Train an ``AutoencoderKL`` and write it to ``folder``/vae, its latents scaled to a variance of 1.

    Resumes from its checkpoints in ``folder``. Distance in pixels and in gradients, without an adversary: at this
    size sharpness is not what limits.
    """
    batches = Batches(training_data(config), ObjectiveConfig(tasks=["depth"]), config.seed, config.batch)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.learning_rate, weight_decay=0)
    first = 0
    if (latest := load_latest(folder / "checkpoints")) is not None:
        first = latest[0].step
        vae.load_state_dict(latest[1]["vae"])
        optimizer.load_state_dict(latest[1]["optimizer"])
    vae.train().requires_grad_(True)
    for step, (batch,) in enumerate(batches.run(first, config.vae_steps), first):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - step / config.vae_steps)
        generator = torch.Generator().manual_seed(config.seed * config.vae_steps + step)
        loss = _loss(vae, torch.cat([batch.image, batch.annotation["depth"]]), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report("training the VAE", step + 1, config.vae_steps)
        if (step + 1) % _EVERY == 0:
            log.info("VAE, step %d of %d: loss %.4f", step + 1, config.vae_steps, float(loss))
            state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(folder / "checkpoints", step + 1, state, 1)
    vae.eval().requires_grad_(False)
    vae.register_to_config(scaling_factor=1 / _latent_deviation(vae, batches))
    commit_folder(folder / "vae", lambda scratch: vae.save_pretrained(str(scratch)))


def load_vae(folder: Path) -> Any:
    """What ``train_vae`` wrote."""
    return AutoencoderKL.from_pretrained(str(folder / "vae"), local_files_only=True)


def _loss(vae: Any, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    posterior = vae.encode(images).latent_dist
    missing = vae.decode(posterior.sample(generator)).sample - images
    edges = sum(functional.l1_loss(d, torch.zeros_like(d)) for d in (missing.diff(dim=-1), missing.diff(dim=-2)))
    return missing.abs().mean() + edges + _KL_WEIGHT * posterior.kl().mean()


@torch.no_grad()
def _latent_deviation(vae: Any, batches: Batches) -> float:
    """Standard deviation of the latents of photos."""
    latents = [vae.encode(batch.image).latent_dist.mode() for (batch,) in batches.run(0, _MEASURED)]
    return float(torch.cat(latents).std())
