"""nano as the registry knows it: the checkpoint that ships with the package, or a folder that training wrote."""

from __future__ import annotations

from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.models.base import Model, ModelInfo, ModelOptions, file_safe, resolve_device, resolve_dtype
from lotus_recon.models.lotus.checkpoints import Metadata, with_options
from lotus_recon.models.lotus.files import files_state
from lotus_recon.models.nano import files

NAMES = {"nano": "depth and normals by the project's own small network; ships with the package, runs anywhere"}


def accepts(name: str) -> bool:
    """``nano``, or a folder that says it is such a checkpoint."""
    return name in NAMES or (Path(name).is_dir() and files.is_nano(Path(name)))


def check(name: str, options: ModelOptions) -> ModelInfo:
    """Name and tasks. Raises InputError for options that belong to other models."""
    metadata = _metadata(name, options)
    edge = metadata.processing_res if options.processing_res is None else options.processing_res
    return ModelInfo(_short_name(name), tuple(metadata.tasks), edge, is_symmetric=True, sharpens=True)


def load(name: str, options: ModelOptions, device: str, dtype: str) -> Model:
    """A NanoModel."""
    from lotus_recon.models.nano.model import NanoModel, compilation_of, load_network

    where = resolve_device(device)
    network, metadata = load_network(_folder(name)), _metadata(name, options)
    model = NanoModel(_short_name(name), network, metadata, where, resolve_dtype(dtype, where))
    model.compilation = compilation_of(model, options.compile)
    if options.processing_res is not None:
        model.processing_res = options.processing_res
    if options.batch_size is not None:
        model.batch_size = options.batch_size
    return model


def fetch(name: str, options: ModelOptions) -> None:
    """Nothing is fetched. Raises ModelError when files are missing."""
    files.check_complete(_folder(name))


def fingerprint(name: str, options: ModelOptions) -> str:
    """Changes when a file of the checkpoint does; the words say how maps are made of what the network says."""
    return f"{files_state(_folder(name))} mirrored, sharpened"


def _folder(name: str) -> Path:
    return files.SHIPPED if name in NAMES else Path(name)


def _short_name(name: str) -> str:
    return name if name in NAMES else file_safe(Path(name).resolve().name)


def _metadata(name: str, options: ModelOptions) -> Metadata:
    if options.predictions is not None:
        raise InputError(f"--predictions belongs to --model precomputed, not to --model {name}")
    if options.revision is not None:
        raise InputError(f"--revision {options.revision} belongs to a Hub id, not to --model {name}")
    return with_options(name, files.metadata(_folder(name)), options.task, options.depth_space)
