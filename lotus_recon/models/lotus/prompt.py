"""The embedding of the empty prompt: the only thing Lotus takes from its text encoder.

It is computed once per text encoder and kept in the project's cache folder, so that the text encoder (1.3 GB in the
released checkpoints) is loaded once in a machine's life and never stays in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lotus_recon.cache import cache_folder
from lotus_recon.errors import InputError, ModelError
from lotus_recon.io.maps import load_arrays, save_arrays
from lotus_recon.models.lotus.files import LOAD_ERRORS, check_json_files, weight_file
from lotus_recon.workspace import files_fingerprint

log = logging.getLogger(__name__)

PADDED_TOKENS = 77  # CLIP's context; unpadded, the empty prompt is its 2 tokens of start and end
_CACHE_FORMAT = 1  # raise when the way the embedding is computed changes

Embeddings = tuple[NDArray[np.float32], NDArray[np.float32]]


def empty_prompt(folder: Path) -> Embeddings:
    """Embeddings of "" by the text encoder of a checkpoint: (1, 77, C) padded and (1, 2, C) unpadded, float32.

    Raises ModelError when the text encoder or the tokenizer cannot be loaded.
    """
    path = cache_folder() / "empty_prompt" / f"{_key(folder)}-{_CACHE_FORMAT}.npz"
    cached = _cached(path)
    if cached is not None:
        return cached
    padded, unpadded = _computed(folder)
    try:
        save_arrays(path, padded=padded, unpadded=unpadded)
    except OSError as error:
        log.info("the empty prompt's embedding is not cached: %s cannot be written (%s)", path.parent, error.strerror)
    return padded, unpadded


def _key(folder: Path) -> str:
    """Content hash of everything the embedding depends on."""
    files = {"weights": weight_file(folder, "text_encoder"), "config": folder / "text_encoder" / "config.json"}
    files |= {f"tokenizer/{path.name}": path for path in sorted((folder / "tokenizer").iterdir()) if path.is_file()}
    return files_fingerprint(files)


def _cached(path: Path) -> Embeddings | None:
    if not path.is_file():
        return None
    try:
        arrays = load_arrays(path)
        return arrays["padded"], arrays["unpadded"]
    except (InputError, KeyError) as error:
        log.warning("the cached embedding %s is broken and computed again: %s", path, error)
        return None


def _computed(folder: Path) -> Embeddings:
    from transformers import CLIPTextModel, CLIPTokenizer

    log.info("computing the empty prompt's embedding with %s", folder / "text_encoder")
    check_json_files(folder / "tokenizer")  # the tokenizer library raises a bare Exception on a broken one
    part = folder / "tokenizer"
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(part), local_files_only=True)
        part = folder / "text_encoder"
        with _quiet():
            loaded: Any = CLIPTextModel.from_pretrained(
                str(part), torch_dtype=torch.float32, output_loading_info=True, local_files_only=True
            )
    except LOAD_ERRORS as error:
        raise ModelError(f"{part} cannot be loaded (truncated, or not a checkpoint?): {error}") from error
    encoder, loading_info = loaded
    if loading_info["missing_keys"]:
        raise ModelError(f"{part} lacks weights, for instance {sorted(loading_info['missing_keys'])[0]}")
    padded = tokenizer("", padding="max_length", max_length=PADDED_TOKENS).input_ids
    unpadded = tokenizer("").input_ids
    with torch.inference_mode():
        both = [encoder.eval()(torch.tensor([ids])).last_hidden_state for ids in (padded, unpadded)]
    return both[0].numpy(), both[1].numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar of transformers: the terminal belongs to the command line."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
