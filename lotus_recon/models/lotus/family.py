"""Lotus checkpoints in the registry: one, or one for depth and one for normals."""

from __future__ import annotations

from pathlib import Path

from lotus_recon.models.base import Model, ModelInfo, ModelOptions
from lotus_recon.models.lotus.checkpoints import (
    MODES,
    PAIRS,
    RELEASED,
    Metadata,
)
from lotus_recon.models.lotus.files import fetch as fetch_checkpoint
from lotus_recon.models.lotus.files import files_state, is_hub_id
from lotus_recon.models.lotus.resolving import Checkpoint, resolve
from lotus_recon.workspace import fingerprint as hash_of


def _help(metadata: Metadata) -> str:
    depth = f", affine {metadata.depth_space}" if metadata.depth_space else ""
    return f"{' and '.join(metadata.tasks)}{depth}, {MODES[metadata.mode or 'D']}"


NAMES = {name: f"{depth} + {normal}" for name, (depth, normal) in PAIRS.items()} | {
    name: _help(metadata) for name, metadata in RELEASED.items()
}


def accepts(name: str) -> bool:
    """Known names, Hub ids, anything that looks like a path, and two of them with a comma between."""
    return name in NAMES or "," in name or is_hub_id(name) or "/" in name or Path(name).is_dir()


def check(name: str, options: ModelOptions) -> ModelInfo:
    """Name and tasks. Raises InputError for whatever is wrong with name and options."""
    checkpoints = resolve(name, options)
    tasks = tuple(task for checkpoint in checkpoints for task in checkpoint.metadata.tasks)
    edges = [checkpoint.metadata.processing_res for checkpoint in checkpoints]
    edge = min(edges) if options.processing_res is None else options.processing_res
    takes_noise = any(checkpoint.metadata.mode == "G" for checkpoint in checkpoints)
    return ModelInfo(_model_name(name, checkpoints), tasks, edge, takes_noise)


def load(name: str, options: ModelOptions, device: str, dtype: str) -> Model:
    """A LotusModel, or a LotusPair when there are two checkpoints."""
    from lotus_recon.models.lotus.model import LotusModel, LotusPair, compilation_of

    checkpoints = resolve(name, options)
    models = [
        LotusModel.from_checkpoint(checkpoint, device, dtype, options.processing_res) for checkpoint in checkpoints
    ]
    estimator: LotusModel | LotusPair = models[0]
    if len(models) == 2:
        estimator = LotusPair(_model_name(name, checkpoints), models[0], models[1])
    estimator.compilation = compilation_of(models, options.compile)
    if options.batch_size is not None:
        estimator.batch_size = options.batch_size
    return estimator


def fetch(name: str, options: ModelOptions) -> None:
    """Bring all files to this machine. Raises ModelError when that cannot be done."""
    for checkpoint in resolve(name, options):
        fetch_checkpoint(checkpoint.source, options.revision)


def fingerprint(name: str, options: ModelOptions) -> str:
    """Changes when a file of a local checkpoint does; a Hub id stands for itself."""
    states = []
    for checkpoint in resolve(name, options):
        path = Path(checkpoint.source)
        states.append(files_state(path) if path.is_dir() else f"{checkpoint.source}@{options.revision}")
    return hash_of(states)


def _model_name(name: str, checkpoints: list[Checkpoint]) -> str:
    return name if name in NAMES else "+".join(checkpoint.name for checkpoint in checkpoints)
