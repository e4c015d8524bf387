"""The files of a checkpoint: in a folder, or fetched from the Hugging Face Hub into its cache."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from safetensors import SafetensorError

from lotus_recon.config import nearest
from lotus_recon.content import content_of
from lotus_recon.errors import InputError, ModelError
from lotus_recon.models.lotus.checkpoints import METADATA_FILE, OWNER, RELEASED, read_json
from lotus_recon.workspace import fingerprint

log = logging.getLogger(__name__)

# What diffusers, transformers and safetensors raise on files that are broken or belong to something else.
LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, EOFError, SafetensorError)

# Sub-folder -> its configuration, and the alternatives for its weights, best first (None: it has none).
_WEIGHTS: dict[str, str | None] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "tokenizer": None,
    "scheduler": None,
}
_CONFIGS: dict[str, tuple[str, ...]] = {
    "unet": ("config.json",),
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "tokenizer": ("tokenizer_config.json", "vocab.json", "merges.txt"),
    "scheduler": ("scheduler_config.json",),
}
_HOW_TO_GIVE_A_FOLDER = (
    "Connect once to download it, or copy the checkpoint to this machine and give its folder (the one that holds "
    "unet/, vae/, text_encoder/, tokenizer/ and scheduler/) as --model FOLDER"
)


PICKLED_VARIABLE = "LOTUS_RECON_PICKLED_WEIGHTS"  # 1: read them


def weight_names(part: str) -> tuple[str, ...]:
    """File names that may hold the weights of a sub-folder, best first."""
    stem = _WEIGHTS[part]
    if stem is None:
        return ()
    # transformers calls its pickled weights differently from diffusers.
    pickled = "pytorch_model" if stem == "model" else stem
    whole = (f"{stem}.safetensors", f"{pickled}.bin")
    return (*whole, f"{stem}.safetensors.index.json", f"{pickled}.bin.index.json")


def weight_file(folder: Path, part: str) -> Path:
    """The weights of a sub-folder (an index file when they are split).

    Raises ModelError when there are none, or only pickled ones, which nobody asked for.
    """
    path = next((folder / part / name for name in weight_names(part) if (folder / part / name).is_file()), None)
    if path is None:
        raise ModelError(f"{folder / part} holds no weights; one of {', '.join(weight_names(part)[:2])} is needed")
    if ".bin" in path.name and not _takes_pickled():
        raise ModelError(
            f"{path} is a pickle, which can run code when it is read: use a checkpoint with .safetensors, or, if you "
            f"trust where it comes from, set {PICKLED_VARIABLE}=1"
        )
    return path


def _takes_pickled() -> bool:
    return os.environ.get(PICKLED_VARIABLE) == "1"


def part_files(folder: Path, part: str) -> list[Path]:
    """All files that belong to a sub-folder: small ones, and its weights in the one format that is read.

    Raises ModelError when its weights are missing.
    """
    small = [path for path in sorted((folder / part).iterdir()) if path.suffix in (".json", ".txt")]
    small = [path for path in small if not path.name.endswith(".index.json")]
    if _WEIGHTS[part] is None:
        return small
    weights = weight_file(folder, part)
    if not weights.name.endswith(".index.json"):
        return [*small, weights]
    shards = sorted(set(read_json(weights).get("weight_map", {}).values()))
    return [*small, weights, *(folder / part / shard for shard in shards)]


def source_of(name: str) -> str:
    """A folder or a Hub id from what the user wrote: a short name, ``owner/name`` or a path.

    Raises InputError when it is a path to nothing, or a checkpoint its owner never released.
    """
    if name in RELEASED:
        return f"{OWNER}/{name}"
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    if path.exists():
        raise InputError(f"--model {name} is a file; a checkpoint is a folder with unet/, vae/ and so on")
    if not is_hub_id(name):
        raise InputError(f"--model {name}: no such folder")
    owner, short = name.split("/")
    if owner == OWNER and short not in RELEASED:
        raise InputError(
            f"unknown checkpoint {name!r}{nearest(name, [f'{OWNER}/{released}' for released in RELEASED])}"
        )
    return name


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form owner/name."""
    return re.fullmatch(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", name) is not None


def local_folder(source: str, revision: str | None) -> Path | None:
    """Where the files of ``source`` are on this machine, without asking the network; None when they are not here."""
    path = Path(source).expanduser()
    return path if path.is_dir() else _cached_folder(source, revision)


def metadata_folder(source: str, revision: str | None) -> Path | None:
    """The folder with the lotus.json of ``source``: its own, its cache, or downloaded from the Hub; None without one.

    Raises ModelError when the Hub must be asked but cannot be.
    """
    local = local_folder(source, revision)
    if local is not None or Path(source).name in RELEASED:
        return local
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, METADATA_FILE, revision=revision)).parent
    except LocalEntryNotFoundError as error:  # "not in the cache, and no network": says nothing about the repository
        raise ModelError(_not_available(source, revision, None, error)) from error
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(_not_available(source, revision, None, error)) from error


def fetch(source: str, revision: str | None) -> Path:
    """The complete folder of a checkpoint, downloaded if it is a Hub id that is not cached.

    Raises ModelError naming the files that are missing and how to give a folder.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        _check_complete(path)
        return path
    try:
        return _download(source, revision)
    except (OSError, ValueError, RuntimeError) as error:  # no network, no such repository or revision, disk full
        cached = _cached_folder(source, revision)
        if cached is not None and not missing_files(cached):
            log.info("using the cached %s: the Hub could not be reached (%s)", source, _first_line(error))
            return cached
        raise ModelError(_not_available(source, revision, cached, error)) from error


def _download(source: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    small = [f"{part}/{name}" for part, names in _CONFIGS.items() for name in names]
    small += [METADATA_FILE, "tokenizer/special_tokens_map.json", "tokenizer/tokenizer.json"]
    parts = [part for part, stem in _WEIGHTS.items() if stem]
    weights = [pattern for part in parts for pattern in _weight_patterns(part, ".safetensors")]
    folder = Path(snapshot_download(source, revision=revision, allow_patterns=small + weights))
    # What is there may be read only on request, so it need not come either.
    if _takes_pickled() and (lacking := [part for part in parts if _lacks_weights(folder, part)]):
        pickled = [pattern for part in lacking for pattern in _weight_patterns(part, ".bin")]
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=small + pickled))
    _check_complete(folder)
    return folder


def _weight_patterns(part: str, suffix: str) -> list[str]:
    """Whole or split weights of one format, without variants such as fp16 that would be downloaded beside them."""
    whole, index = (name for name in weight_names(part) if suffix in name)
    return [f"{part}/{whole}", f"{part}/{index}", f"{part}/{whole.removesuffix(suffix)}-*-of-*{suffix}"]


def _lacks_weights(folder: Path, part: str) -> bool:
    return not any((folder / part / name).is_file() for name in weight_names(part))


def _cached_folder(source: str, revision: str | None) -> Path | None:
    """The snapshot folder of a Hub id in the local cache, complete or not."""
    from huggingface_hub import try_to_load_from_cache

    for part, names in _CONFIGS.items():
        for name in (*names, *weight_names(part)):
            cached = try_to_load_from_cache(source, f"{part}/{name}", revision=revision)
            if isinstance(cached, str):
                return Path(cached).parents[1]
    return None


def missing_files(folder: Path) -> list[str]:
    """Files of the layout that ``folder`` lacks, relative to it; weights are named by their usual file."""
    missing = []
    for part, names in _CONFIGS.items():
        if part == "tokenizer" and (folder / part / "tokenizer.json").is_file():
            names = names[:1]
        missing += [f"{part}/{name}" for name in names if not (folder / part / name).is_file()]
        if _WEIGHTS[part] and _lacks_weights(folder, part):
            missing.append(f"{part}/{weight_names(part)[0]} (or {weight_names(part)[1]})")
    return missing


def _check_complete(folder: Path) -> None:
    if missing := missing_files(folder):
        raise ModelError(f"the checkpoint in {folder} is incomplete; missing: {', '.join(missing)}")


def _not_available(source: str, revision: str | None, cached: Path | None, error: Exception) -> str:
    from huggingface_hub import constants

    missing = missing_files(cached) if cached else missing_files(Path(constants.HF_HUB_CACHE) / "none")
    at = f" at revision {revision}" if revision else ""
    return (
        f"checkpoint {source}{at} is neither a folder here nor complete in the cache of the Hugging Face Hub "
        f"({constants.HF_HUB_CACHE}), and it cannot be downloaded: {_first_line(error)}. "
        f"\nMissing: {', '.join(missing)}.\n{_HOW_TO_GIVE_A_FOLDER}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_json_files(folder: Path) -> None:
    """Raise ModelError naming the first JSON file of ``folder`` that is broken."""
    for path in sorted(folder.glob("*.json")):
        read_json(path)


def files_state(folder: Path) -> str:
    """Hash of the names and the content of the files of a checkpoint."""
    files = [path for part in ("", *_CONFIGS) for path in sorted((folder / part).glob("*")) if path.is_file()]
    return fingerprint([(str(path.relative_to(folder)), content_of(path)) for path in files])
