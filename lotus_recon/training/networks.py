"""The networks that a run of Lotus starts with: adapted from Stable Diffusion 2, from a checkpoint, or from scratch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.lotus.checkpoints import MODES, read_json
from lotus_recon.models.lotus.files import fetch
from lotus_recon.models.lotus.parts import Parts, load_network, load_schedule
from lotus_recon.models.lotus.prompt import Embeddings, empty_prompt
from lotus_recon.training.checkpoint_folder import write_text_encoder
from lotus_recon.training.config import StartConfig, UNetSize, VaeSize

_NORM_GROUPS = 32  # of Stable Diffusion, where the channels allow as many
# Names of diffusers, in the configuration and the weights of a U-Net.
_CODE_INPUTS = "projection_class_embeddings_input_dim"
_INPUT, _CODE, _TIME_BIAS = "conv_in.weight", "class_embedding", "time_embedding.linear_2.bias"

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Placement:
    """Where the networks live. The U-Net learns in float32; so is a VAE from scratch, which is for tests only."""

    device: torch.device
    vae_dtype: torch.dtype = torch.float32


def starting_parts(start: StartConfig, states: int, seed: int, where: Placement) -> Parts:
    """The networks that ``start`` describes; ``states``: how many the task code should have (tasks + 1).

    A checkpoint may come with more states than asked for. New weights depend on ``seed`` only.
    Raises InputError for a folder that is not there, sizes that cannot be or a start that does not fit the mode;
    ModelError for a folder that is incomplete, broken or of another architecture.
    """
    if start.checkpoint is None:
        return _from_scratch(start, states, seed, where)
    return _from_folder(start.checkpoint, start.mode, states, seed, where)


def _from_folder(folder: Path, mode: str, states: int, seed: int, where: Placement) -> Parts:
    if not folder.is_dir():
        raise InputError(f"start.checkpoint: {folder} is not a folder")
    fetch(str(folder), None)  # complete?
    channels = read_json(folder / "vae" / "config.json").get("latent_channels", 4) * (2 if mode == "G" else 1)
    _check_adaptable(folder, mode, channels)
    prompt = empty_prompt(folder)
    unet = adapted_unet(load_network(UNet2DConditionModel, folder, "unet", torch.float32), channels, states, seed)
    vae = load_network(AutoencoderKL, folder, "vae", where.vae_dtype)
    return _parts(unet, vae, load_schedule(folder), prompt, where)


def _check_adaptable(folder: Path, mode: str, channels: int) -> None:
    """Raise unless the U-Net's configuration is one that can become Lotus. Reads no weights."""
    where = folder / "unet" / "config.json"
    config = read_json(where)
    if config.get("class_embed_type") not in (None, "projection") or config.get("addition_embed_type") is not None:
        raise ModelError(f"{where}: neither Stable Diffusion 2 nor Lotus: it is conditioned on more than a text")
    if config.get("in_channels") not in (channels, channels // 2 if mode == "G" else channels):
        raise InputError(
            f"start.checkpoint: {where} takes {config.get('in_channels')} channels, which cannot become the {channels} "
            f"of a {MODES[mode]} network (start.mode {mode})"
        )


def adapted_unet(unet: Any, channels: int, states: int, seed: int) -> Any:
    """A U-Net that takes ``channels`` channels and a task code, and computes as much as possible what ``unet`` does.

    Its weights share memory with those of ``unet``, which is not to be used any longer. A task code stays as it is,
    unless it has two states and three are needed.
    """
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    state: State = dict(unet.state_dict())
    if config["in_channels"] != channels:
        state[_INPUT] = doubled_input(state[_INPUT])
        config["in_channels"] = channels
    if config["class_embed_type"] is None:
        state |= _silent_code(2 * states, len(state[_TIME_BIAS]), seed)
        config |= {"class_embed_type": "projection", _CODE_INPUTS: 2 * states}
    elif states == 3 and config[_CODE_INPUTS] == 4:
        state |= widened_code(state)
        config[_CODE_INPUTS] = 6
    with torch.device("meta"):  # the weights come from ``state``: none are drawn
        adapted: Any = UNet2DConditionModel.from_config(config)
    adapted.load_state_dict(state, assign=True)
    return adapted


def doubled_input(weight: torch.Tensor) -> torch.Tensor:
    """conv_in's weight (O, C, 3, 3) for twice the channels (O, 2 C, 3, 3), halved: given the same input in both halves,
    it computes the same (Marigold, arXiv 2312.02145, section 3.2)."""
    return torch.cat([weight, weight], dim=1) / 2


def widened_code(state: State) -> State:
    """Layer 1 of a class embedding for the codes [1, 0] (annotation) and [0, 1] (image), for three states instead.

    Both annotations [1, 0, 0] and [0, 1, 0] start as the one there was, and [0, 0, 1] as the image: the same values,
    since sin 0 = 0, and the state's extra cos 0 = 1 is taken off the bias.
    """
    weight, bias = f"{_CODE}.linear_1.weight", f"{_CODE}.linear_1.bias"
    sin_annotation, sin_image, cos_annotation, cos_image = state[weight].unbind(dim=1)
    columns = [sin_annotation, sin_annotation, sin_image, cos_annotation, cos_annotation, cos_image]
    return {weight: torch.stack(columns, dim=1), bias: state[bias] - cos_annotation}


def _silent_code(inputs: int, outputs: int, seed: int) -> State:
    """Weights of a new class embedding. Layer 1 is drawn as torch would; layer 2 is zero, so that the U-Net starts as
    the one it was before it had a task code (the official code draws it too, and starts with a random offset)."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return (2 * torch.rand(shape, generator=generator) - 1) / inputs**0.5

    return {
        f"{_CODE}.linear_1.weight": drawn(outputs, inputs),
        f"{_CODE}.linear_1.bias": drawn(outputs),
        f"{_CODE}.linear_2.weight": torch.zeros(outputs, outputs),
        f"{_CODE}.linear_2.bias": torch.zeros(outputs),
    }


def _from_scratch(start: StartConfig, states: int, seed: int, where: Placement) -> Parts:
    _check_sizes(start.unet, start.vae)
    latent = start.vae.latent_channels
    channels = 2 * latent if start.mode == "G" else latent
    unet = _seeded(lambda: _new_unet(start.unet, channels, latent, states), seed)
    vae = _seeded(lambda: _new_vae(start.vae), seed)
    schedule: Any = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, prediction_type="sample"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_text_encoder(Path(folder), start.unet.cross_attention_dim)
        prompt = empty_prompt(Path(folder))
    return _parts(unet, vae, schedule, prompt, where)


def _check_sizes(unet: UNetSize, vae: VaeSize) -> None:
    """Raise InputError for sizes that do not fit together."""
    odd = [channels for channels in unet.block_out_channels if channels % unet.attention_head_dim]
    if odd:
        raise InputError(
            f"start.unet.attention_head_dim {unet.attention_head_dim} must divide all of block_out_channels, not {odd}"
        )


def _seeded(make: Callable[[], Any], seed: int) -> Any:
    """What ``make`` returns when torch's random state starts at ``seed``; that state is then as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _new_unet(size: UNetSize, channels: int, latent_channels: int, states: int) -> Any:
    levels = len(size.block_out_channels)
    return UNet2DConditionModel(
        in_channels=channels,
        out_channels=latent_channels,
        # As in Stable Diffusion: attention at all resolutions but the lowest.
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
        block_out_channels=tuple(size.block_out_channels),
        layers_per_block=size.layers_per_block,
        attention_head_dim=size.attention_head_dim,
        cross_attention_dim=size.cross_attention_dim,
        norm_num_groups=gcd(_NORM_GROUPS, *size.block_out_channels),
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * states,
        use_linear_projection=True,
    )


def _new_vae(size: VaeSize) -> Any:
    levels = len(size.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(size.block_out_channels),
        layers_per_block=size.layers_per_block,
        latent_channels=size.latent_channels,
        norm_num_groups=gcd(_NORM_GROUPS, *size.block_out_channels),
    )


def _parts(unet: Any, vae: Any, schedule: Any, prompt: Embeddings, where: Placement) -> Parts:
    padded, unpadded = prompt
    return Parts(
        unet=unet.to(where.device).train(),
        vae=vae.to(where.device).eval().requires_grad_(False),
        schedule=schedule,
        prompt_unpadded=torch.from_numpy(unpadded).to(where.device),
        prompt_padded=torch.from_numpy(padded).to(where.device),
        device=where.device,
        dtype=torch.float32,
    )
