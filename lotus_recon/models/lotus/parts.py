"""The parts of a loaded checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers.utils.logging
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from lotus_recon.errors import ModelError
from lotus_recon.models.cpu import lay_out
from lotus_recon.models.lotus.checkpoints import MODES, Metadata, read_json
from lotus_recon.models.lotus.files import LOAD_ERRORS, weight_file
from lotus_recon.models.lotus.prompt import empty_prompt


@dataclass(frozen=True, eq=False)
class Parts:
    """The networks and tensors of a checkpoint, on one device. C is the width of the text embedding."""

    # diffusers makes its classes lazily: to a type checker they have no members.
    unet: Any  # UNet2DConditionModel
    vae: Any  # AutoencoderKL
    schedule: Any  # DDPMScheduler, for training; inference needs it only for other formulations than the published one
    # Neither the official pipeline nor the official training pads the prompt: both see 2 tokens. With 77 the maps of
    # the parity fixtures are off by more than half their range. The padded one serves training experiments.
    prompt_unpadded: torch.Tensor  # (1, 2, C) embedding of the empty prompt
    prompt_padded: torch.Tensor  # (1, 77, C) the same, padded to the context of the text encoder
    device: torch.device
    dtype: torch.dtype  # of the U-Net and the prompt; training may hold the frozen VAE in a shorter one

    @property
    def mode(self) -> str:
        """G when the U-Net takes noise beside the image latent, else D."""
        return "G" if self.unet.config["in_channels"] == 2 * self.latent_channels else "D"

    @property
    def latent_channels(self) -> int:
        """Channels of the VAE's latent."""
        return int(self.vae.config["latent_channels"])

    @property
    def vae_scale_factor(self) -> int:
        """Pixels of the image per latent cell (8 in the released checkpoints)."""
        return int(2 ** (len(self.vae.config["block_out_channels"]) - 1))


def load_parts(folder: Path, metadata: Metadata, device: torch.device, dtype: torch.dtype) -> Parts:
    """Load a complete checkpoint folder. Raises ModelError naming the part that is broken or is not Lotus."""
    check_layout(folder, metadata)
    padded, unpadded = empty_prompt(folder)
    unet = load_network(UNet2DConditionModel, folder, "unet", dtype)
    vae = load_network(AutoencoderKL, folder, "vae", dtype)
    schedule = load_schedule(folder)
    timesteps = schedule.config["num_train_timesteps"]
    if max(metadata.timestep + 1, metadata.inference_steps) > timesteps:
        raise ModelError(
            f"{folder}: timestep {metadata.timestep} and {metadata.inference_steps} steps of inference do not fit a "
            f"schedule of {timesteps} timesteps"
        )
    lay_out(vae, device)
    if dtype != torch.float32:  # in float32 the U-Net, most of it products of matrices, gets slower by it
        lay_out(unet, device)
    return Parts(
        unet=unet.to(device),
        vae=vae.to(device),
        schedule=schedule,
        prompt_unpadded=torch.from_numpy(unpadded).to(device, dtype),
        prompt_padded=torch.from_numpy(padded).to(device, dtype),
        device=device,
        dtype=dtype,
    )


def check_layout(folder: Path, metadata: Metadata) -> None:
    """Raise ModelError unless the configurations are of a Lotus checkpoint with this metadata. Reads no weights."""
    unet = read_json(folder / "unet" / "config.json")
    latent = read_json(folder / "vae" / "config.json").get("latent_channels", 4)
    channels = unet.get("in_channels")
    modes = {2 * latent: "G", latent: "D"}
    where = folder / "unet" / "config.json"
    if channels not in modes:
        raise ModelError(
            f"{where}: the U-Net takes {channels} channels; "
            f"allowed: {2 * latent} ({MODES['G']}) or {latent} ({MODES['D']})"
        )
    if metadata.mode is not None and metadata.mode != modes[channels]:
        raise ModelError(
            f"{where}: {channels} input channels make a {MODES[modes[channels]]} checkpoint, "
            f"not a {MODES[metadata.mode]} one"
        )
    if metadata.needs_noise and modes[channels] == "D":
        raise ModelError(
            f"{where}: {channels} input channels leave no room for noise, but its metadata says it predicts "
            f"{metadata.prediction_type} at {metadata.timesteps} timesteps in {metadata.inference_steps} steps; a "
            f"{MODES['D']} checkpoint predicts the sample in one step"
        )
    width = unet.get("projection_class_embeddings_input_dim")
    for task, switcher in metadata.tasks.items():
        if unet.get("class_embed_type") != "projection" or width != 2 * len(switcher):
            raise ModelError(f"{where}: no class embedding for the task switcher of {task!r}: not a Lotus checkpoint")


def load_schedule(folder: Path) -> Any:
    """The noise schedule of a checkpoint, for training. Raises ModelError when it is broken."""
    try:
        return DDPMScheduler.from_pretrained(str(folder / "scheduler"), local_files_only=True)
    except LOAD_ERRORS as error:
        raise ModelError(f"{folder / 'scheduler'} cannot be loaded: {error}") from error


def load_network(kind: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:
    """A network in evaluation mode. Raises ModelError when its weights are missing, broken or incomplete."""
    safe = ".safetensors" in weight_file(folder, part).name
    level = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()  # missing weights raise below
    try:
        network, loading_info = kind.from_pretrained(
            str(folder / part),
            torch_dtype=dtype,
            use_safetensors=safe,
            output_loading_info=True,
            local_files_only=True,
        )
    except LOAD_ERRORS as error:
        raise ModelError(f"{folder / part} cannot be loaded (truncated, or not a checkpoint?): {error}") from error
    finally:
        diffusers.utils.logging.set_verbosity(level)
    if loading_info["missing_keys"]:
        missing = sorted(loading_info["missing_keys"])
        raise ModelError(f"{folder / part} lacks {len(missing)} weights, for instance {missing[0]}")
    return network.eval()


def same_vae(a: Parts, b: Parts) -> bool:
    """Whether two checkpoints encode and decode alike: equal configuration and bit-equal weights."""
    mine, other = a.vae.state_dict(), b.vae.state_dict()
    scale = "scaling_factor"
    if mine.keys() != other.keys() or a.vae.config[scale] != b.vae.config[scale] or a.dtype != b.dtype:
        return False
    return all(mine[key].shape == other[key].shape and torch.equal(mine[key], other[key]) for key in mine)
