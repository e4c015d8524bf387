"""Tiny random Lotus checkpoints of the real classes, in the released folder layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextConfig, CLIPTextModel

WIDTH = 32  # of the text embedding


def write_checkpoint(
    folder: Path,
    in_channels: int = 4,
    seed: int = 0,
    vae_seed: int = 0,
    switcher_size: int = 2,
    safe: bool = True,
    spread: float = 8.0,
) -> Path:
    """A checkpoint folder: in_channels 4 = discriminative, 8 = generative; weights drawn from the seeds.

    Untrained weights give a grey map: ``spread`` times its range. Beyond 1 some of it is clipped.
    """
    torch.manual_seed(seed)
    unet: Any = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        cross_attention_dim=WIDTH,
        norm_num_groups=8,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * switcher_size,
        use_linear_projection=True,
    )
    torch.manual_seed(vae_seed)
    vae: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight *= spread
    unet.save_pretrained(str(folder / "unet"), safe_serialization=safe)
    vae.save_pretrained(str(folder / "vae"), safe_serialization=safe)
    scheduler: Any = DDIMScheduler(beta_schedule="scaled_linear", prediction_type="sample")
    scheduler.save_pretrained(str(folder / "scheduler"))
    _write_text_encoder(folder)
    return folder


def _write_text_encoder(folder: Path) -> None:
    torch.manual_seed(7)
    config = CLIPTextConfig(
        vocab_size=20,
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=18,
        eos_token_id=19,
        pad_token_id=0,
    )
    CLIPTextModel(config).save_pretrained(str(folder / "text_encoder"))
    tokens = ["!", *"abcdefghijklmnopq", "<|startoftext|>", "<|endoftext|>"]
    special = {"bos_token": tokens[18], "eos_token": tokens[19], "unk_token": tokens[19], "pad_token": "!"}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random colour image (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    rng = np.random.default_rng(seed)
    waves = sum(rng.normal() * np.sin(9 * (rng.normal() * x + rng.normal() * y) + k) for k in range(4))
    channels = [waves * rng.uniform(0.3, 1) for _ in range(3)]
    image = np.stack(channels, axis=-1)
    return np.asarray((image - image.min()) / np.ptp(image) * 255, np.uint8)
