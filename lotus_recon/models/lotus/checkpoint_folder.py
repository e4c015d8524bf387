"""Trained networks as a folder that ``LotusModel.from_pretrained`` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from safetensors import SafetensorError
from safetensors.torch import save_file

from lotus_recon.errors import ModelError
from lotus_recon.models.lotus.checkpoints import METADATA_FILE, Metadata, write_metadata
from lotus_recon.models.lotus.files import part_files
from lotus_recon.models.lotus.parts import Parts

_START, _END, _PAD = "<|startoftext|>", "<|endoftext|>", "!"  # CLIP's own tokens
_CONTEXT = 77  # tokens, CLIP's


def save_checkpoint_folder(parts: Parts, metadata: Metadata, source: Path | None, folder: Path) -> None:
    """Write unet/, vae/, text_encoder/, tokenizer/, scheduler/ and, last, lotus.json.

    source: the checkpoint that the run started with. Its frozen parts are copied bit for bit; None for a run from
    scratch. Raises ModelError when the folder cannot be written or the source is gone.
    """
    try:
        _save(parts, metadata, source, folder)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot write the checkpoint {folder}: {error}") from error


def _save(parts: Parts, metadata: Metadata, source: Path | None, folder: Path) -> None:
    parts.unet.save_pretrained(str(folder / "unet"), safe_serialization=True)
    if source is None:
        parts.vae.save_pretrained(str(folder / "vae"), safe_serialization=True)
        write_text_encoder(folder, parts.unet.config["cross_attention_dim"])
    else:
        for part in ("vae", "text_encoder", "tokenizer"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for path in part_files(source, part):
                shutil.copyfile(path, folder / part / path.name)
    scheduler: Any = DDIMScheduler.from_config(parts.schedule.config, prediction_type=metadata.prediction_type)
    scheduler.save_pretrained(str(folder / "scheduler"))
    write_metadata(metadata, folder / METADATA_FILE)


def write_text_encoder(folder: Path, width: int) -> None:
    """text_encoder/ and tokenizer/ for a U-Net made from scratch: a tiny CLIP that never sees a text but "".

    Its weights are the same for every checkpoint of one ``width`` (of the embedding), so they need not be stored.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary = {_PAD: 0, _START: 1, _END: 2}
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=_CONTEXT,
        pad_token_id=vocabulary[_PAD],
        bos_token_id=vocabulary[_START],
        eos_token_id=vocabulary[_END],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = CLIPTextModel(config).state_dict()
    encoder = folder / "text_encoder"
    encoder.mkdir(parents=True, exist_ok=True)
    config.to_json_file(str(encoder / "config.json"), use_diff=False)
    # Not by save_pretrained: of several processes that train, only the first would write.
    save_file(weights, str(encoder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _PAD}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": _CONTEXT, **special}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
