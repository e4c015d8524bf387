"""The networks that a run of Lotus starts with: adapted from Stable Diffusion 2, from a checkpoint, or from scratch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.lotus.checkpoint_folder import write_text_encoder
from lotus_recon.models.lotus.checkpoints import MODES, read_json
from lotus_recon.models.lotus.files import fetch
from lotus_recon.models.lotus.parts import Parts, load_network, load_schedule
from lotus_recon.models.lotus.prompt import Embeddings, empty_prompt
from lotus_recon.training.config import StartConfig, UNetSize, VaeSize

_NORM_GROUPS = 32  # of Stable Diffusion, where the channels allow as many
# Names of diffusers, in the configuration and the weights of a U-Net.
_SWITCHER_INPUTS = "projection_class_embeddings_input_dim"
_INPUT, _SWITCHER, _TIME_BIAS = "conv_in.weight", "class_embedding", "time_embedding.linear_2.bias"

State = dict[str, torch.Tensor]


def starting_parts(
    start: StartConfig, states: int, seed: int, device: torch.device, vae_dtype: torch.dtype = torch.float32
) -> Parts:
    """The networks that ``start`` describes; ``states`` of the task switcher: tasks + 1.

    A checkpoint may have more states than that. New weights depend on ``seed`` only. The U-Net is float32, and so is a
    VAE from scratch, which is for tests only.
    Raises InputError for a missing folder, impossible sizes or a start that does not fit the mode;
    ModelError for a folder that is incomplete, broken or of another architecture.
    """
    if start.checkpoint is None:
        return _from_scratch(start, states, seed, device)
    return _from_folder(start.checkpoint, start.mode, (states, seed), device, vae_dtype)


def _from_folder(
    folder: Path, mode: str, switcher: tuple[int, int], device: torch.device, vae_dtype: torch.dtype
) -> Parts:
    """``switcher``: states of the task switcher, and the seed of its weights where it is new."""
    if not folder.is_dir():
        raise InputError(f"start.checkpoint: {folder} is not a folder")
    fetch(str(folder), None)  # raises unless it is complete
    channels = read_json(folder / "vae" / "config.json").get("latent_channels", 4) * (2 if mode == "G" else 1)
    _check_adaptable(folder, mode, channels)
    prompt = empty_prompt(folder)
    unet = adapted_unet(load_network(UNet2DConditionModel, folder, "unet", torch.float32), channels, *switcher)
    vae = load_network(AutoencoderKL, folder, "vae", vae_dtype)
    return _parts(unet, vae, load_schedule(folder), prompt, device)


def _check_adaptable(folder: Path, mode: str, channels: int) -> None:
    """Raise unless the U-Net's configuration is one that can become Lotus. Reads no weights."""
    path = folder / "unet" / "config.json"
    config = read_json(path)
    if config.get("class_embed_type") not in (None, "projection") or config.get("addition_embed_type") is not None:
        raise ModelError(f"{path}: neither Stable Diffusion 2 nor Lotus: it is conditioned on more than a text")
    if config.get("in_channels") not in (channels, channels // 2 if mode == "G" else channels):
        raise InputError(
            f"start.checkpoint: {path} takes {config.get('in_channels')} channels, which cannot become the {channels} "
            f"of a {MODES[mode]} network (start.mode {mode})"
        )


def adapted_unet(unet: Any, channels: int, states: int, seed: int) -> Any:
    """A U-Net with ``channels`` input channels and a task switcher that otherwise computes what ``unet`` does.

    Its weights share memory with those of ``unet``, which must not be used afterwards. An existing task switcher stays
    the same, unless it has two states and three are needed.
    """
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    state: State = dict(unet.state_dict())
    if config["in_channels"] != channels:
        state[_INPUT] = doubled_input(state[_INPUT])
        config["in_channels"] = channels
    if config["class_embed_type"] is None:
        state |= _zero_switcher(2 * states, len(state[_TIME_BIAS]), seed)
        config |= {"class_embed_type": "projection", _SWITCHER_INPUTS: 2 * states}
    elif states == 3 and config[_SWITCHER_INPUTS] == 4:
        state |= widened_switcher(state)
        config[_SWITCHER_INPUTS] = 6
    with torch.device("meta"):  # the weights come from ``state``: none are initialised
        adapted: Any = UNet2DConditionModel.from_config(config)
    adapted.load_state_dict(state, assign=True)
    return adapted


def doubled_input(weight: torch.Tensor) -> torch.Tensor:
    """conv_in's weight (O, C, 3, 3) duplicated along the channels (O, 2 C, 3, 3) and halved.

    With the same input in both halves it computes the same (Marigold, arXiv 2312.02145, section 3.2).
    """
    return torch.cat([weight, weight], dim=1) / 2


def widened_switcher(state: State) -> State:
    """Layer 1 of a class embedding with three states, from one with the states [1, 0] (annotation) and [0, 1] (image).

    Both annotations [1, 0, 0] and [0, 1, 0] start as the existing one, and [0, 0, 1] as the image: the outputs are the
    same, since sin 0 = 0, and the cos 0 = 1 of the additional state is subtracted from the bias.
    """
    weight, bias = f"{_SWITCHER}.linear_1.weight", f"{_SWITCHER}.linear_1.bias"
    sin_annotation, sin_image, cos_annotation, cos_image = state[weight].unbind(dim=1)
    columns = [sin_annotation, sin_annotation, sin_image, cos_annotation, cos_annotation, cos_image]
    return {weight: torch.stack(columns, dim=1), bias: state[bias] - cos_annotation}


def _zero_switcher(inputs: int, outputs: int, seed: int) -> State:
    """Weights of a new class embedding. Layer 1 is initialised as in torch; layer 2 is zero, so that the U-Net computes
    what it did without a task switcher (the official code initialises it at random, which adds a random offset)."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return (2 * torch.rand(shape, generator=generator) - 1) / inputs**0.5

    return {
        f"{_SWITCHER}.linear_1.weight": uniform(outputs, inputs),
        f"{_SWITCHER}.linear_1.bias": uniform(outputs),
        f"{_SWITCHER}.linear_2.weight": torch.zeros(outputs, outputs),
        f"{_SWITCHER}.linear_2.bias": torch.zeros(outputs),
    }


def _from_scratch(start: StartConfig, states: int, seed: int, device: torch.device) -> Parts:
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
    return _parts(unet, vae, schedule, prompt, device)


def _check_sizes(unet: UNetSize, vae: VaeSize) -> None:
    """Raise InputError for sizes that do not fit together."""
    odd = [channels for channels in unet.block_out_channels if channels % unet.attention_head_dim]
    if odd:
        raise InputError(
            f"start.unet.attention_head_dim {unet.attention_head_dim} must divide all of block_out_channels, not {odd}"
        )


def _seeded(make: Callable[[], Any], seed: int) -> Any:
    """The result of ``make`` with torch's random state at ``seed``; the state is restored afterwards."""
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


def _parts(unet: Any, vae: Any, schedule: Any, prompt: Embeddings, device: torch.device) -> Parts:
    padded, unpadded = prompt
    return Parts(
        unet=unet.to(device).train(),
        vae=vae.to(device).eval().requires_grad_(False),
        schedule=schedule,
        prompt_unpadded=torch.from_numpy(unpadded).to(device),
        prompt_padded=torch.from_numpy(padded).to(device),
        device=device,
        dtype=torch.float32,
    )
