"""Tiny starting points of Lotus: runs from scratch, a folder as Stable Diffusion 2 comes, a batch of both tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import PNDMScheduler, UNet2DConditionModel

from lotus_recon.training.config import ObjectiveConfig, StartConfig, TrainConfig, UNetSize, VaeSize
from lotus_recon.training.task_module import Batch
from tests.models.toys import WIDTH, write_checkpoint

_UNET = UNetSize([32, 64], layers_per_block=1, cross_attention_dim=16, attention_head_dim=4)
_VAE = VaeSize([8, 16, 16, 16], layers_per_block=1)


def tiny_config(mode: str = "D", checkpoint: Path | None = None, seed: int = 0, **objective: Any) -> TrainConfig:
    """A run of a network small enough for a test."""
    start = StartConfig(checkpoint=checkpoint, mode="G" if mode == "G" else "D", unet=_UNET, vae=_VAE)
    return TrainConfig(start=start, objective=ObjectiveConfig(**objective), processing_res=0, seed=seed)


def write_stable_diffusion(folder: Path) -> Path:
    """A folder in the layout of Stable Diffusion 2: no class embedding, another sampler, no lotus.json."""
    write_checkpoint(folder, seed=5)
    torch.manual_seed(5)
    unet: Any = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        cross_attention_dim=WIDTH,
        norm_num_groups=8,
        use_linear_projection=True,
    )
    unet.save_pretrained(str(folder / "unet"))
    scheduler: Any = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    scheduler.save_pretrained(str(folder / "scheduler"))
    return folder


def smooth_batch(samples: int = 2, height: int = 32, width: int = 48, seed: int = 0) -> Batch:
    """Smooth random images and maps of both tasks; the left quarter of the first depth map is invalid."""
    generator = torch.Generator().manual_seed(seed)

    def smooth() -> torch.Tensor:
        coarse = torch.rand((samples, 3, 4, 6), generator=generator) * 2 - 1
        return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1)

    valid = {task: torch.ones(samples, 1, height, width, dtype=torch.bool) for task in ("depth", "normal")}
    valid["depth"][0, :, :, : width // 4] = False
    return Batch(
        names=tuple(f"sample {i}" for i in range(samples)),
        image=smooth(),
        annotation={"depth": smooth(), "normal": smooth()},
        valid=valid,
        seeds=tuple(range(11, 11 + samples)),
    )
