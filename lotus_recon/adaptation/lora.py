"""A Lotus checkpoint that learns depth through low-rank matrices in the attention of its U-Net.

LoRA: Hu et al., ICLR 2022. Encoder and decoder stay as they are; gradients pass through the decoder and the one step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig

from lotus_recon.models import tensors
from lotus_recon.models.base import DEFAULT_SEED, Model, ModelOptions, resolve_dtype
from lotus_recon.models.lotus import network
from lotus_recon.models.lotus.checkpoint_folder import save_checkpoint_folder
from lotus_recon.models.lotus.checkpoints import DEPTH_KINDS
from lotus_recon.models.lotus.files import fetch
from lotus_recon.models.lotus.model import LotusModel
from lotus_recon.models.lotus.resolving import resolve
from lotus_recon.models.lotus.sampling import predict_latents

_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # the projections of diffusers' attention


class LotusLearner:
    """The checkpoint that predicts depth; of a pair of checkpoints the other one is not needed."""

    frozen = "encoder, decoder, and the U-Net but low-rank matrices in its attention"

    def __init__(self, name: str, options: ModelOptions, device: torch.device, dtype: str, rank: int) -> None:
        found = next(each for each in resolve(name, options) if "depth" in each.metadata.tasks)
        self._source = fetch(found.source, found.revision)
        loaded = LotusModel.from_checkpoint(found, str(device), "float32", options.processing_res)
        self._job, self._dtype = loaded.job("depth"), resolve_dtype(dtype, device)
        self._name, self.device = loaded.name, device
        self.kind = DEPTH_KINDS[str(loaded.metadata.depth_space)]
        parts = loaded.parts
        parts.vae.requires_grad_(False).to(self._dtype)
        parts.unet.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(DEFAULT_SEED)
            parts.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS))
        parts.unet.enable_gradient_checkpointing()
        parts.vae.enable_gradient_checkpointing()

    def size(self, height: int, width: int) -> tuple[int, int]:
        """See ``Learner``: whole latent cells, so that nothing is padded."""
        cell = self._job.parts.vae_scale_factor
        h, w = (side // cell * cell for side in tensors.processing_size(height, width, self._job.longer_edge))
        return max(h, cell), max(w, cell)

    def parameters(self) -> list[torch.nn.Parameter]:
        """See ``Learner``."""
        return [parameter for parameter in self._job.parts.unet.parameters() if parameter.requires_grad]

    def values(self, images: torch.Tensor) -> torch.Tensor:
        """(B, h, w) of images (B, 3, h, w): see ``Learner``."""
        job, parts = self._job, self._job.parts
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            with torch.no_grad():
                latents = network.encode(parts, images)  # B 4 h/c w/c
            noise = None
            if parts.mode == "G":
                noise = network.noise_from_seed(DEFAULT_SEED, (1, *latents.shape[1:])).expand(latents.shape)
            predicted = predict_latents(parts, job.metadata, job.metadata.tasks["depth"], latents, noise)
            scaled = predicted.to(parts.vae.dtype) / parts.vae.config["scaling_factor"]
            # Not ``network.decode``: beyond the range that it clamps to no gradient would come back.
            decoded: torch.Tensor = parts.vae.decode(scaled, return_dict=False)[0]
        return decoded.float().mean(dim=1)

    def model(self) -> Model:
        """See ``Learner``: the matrices are added to the weights."""
        parts = self._job.parts
        parts.unet.disable_gradient_checkpointing()
        parts.vae.disable_gradient_checkpointing()
        parts.unet.fuse_lora()
        parts.unet.unload_lora()
        parts.unet.to(self._dtype)
        parts = replace(
            parts,
            prompt_unpadded=parts.prompt_unpadded.to(self._dtype),
            prompt_padded=parts.prompt_padded.to(self._dtype),
            dtype=self._dtype,
        )
        tasks = {"depth": self._job.metadata.tasks["depth"]}
        metadata = replace(self._job.metadata, tasks=tasks, processing_res=self._job.longer_edge)
        self._job = replace(self._job, parts=parts, metadata=metadata)
        return LotusModel(self._name, parts, metadata)

    def save(self, folder: Path) -> None:
        """See ``Learner``."""
        save_checkpoint_folder(self._job.parts, self._job.metadata, self._source, folder)
