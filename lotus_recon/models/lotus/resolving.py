"""From the name of a model to its one or two checkpoints, without loading any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lotus_recon.errors import InputError
from lotus_recon.models.base import ModelOptions, file_safe
from lotus_recon.models.lotus.checkpoints import (
    PAIRS,
    Metadata,
    check_depth_space,
    known_metadata,
    with_options,
)
from lotus_recon.models.lotus.files import metadata_folder, source_of


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a model, with its metadata."""

    name: str  # short, file-safe
    source: str  # folder or Hub id
    metadata: Metadata
    revision: str | None = None


def resolve(name: str, options: ModelOptions) -> list[Checkpoint]:
    """The one or two checkpoints behind a name. Raises InputError when the name and the options do not fit."""
    if options.predictions is not None:
        raise InputError(f"--predictions belongs to --model precomputed, not to --model {name}")
    parts: tuple[str, ...] | None = PAIRS.get(name)
    if parts is None:  # a folder may have a comma in its name
        parts = (name,) if Path(name).is_dir() else tuple(part.strip() for part in name.split(","))
    if len(parts) == 1:
        return _checked([checkpoint_of(parts[0], options.task, options.depth_space, options.revision)])
    if len(parts) != 2 or not all(parts):
        raise InputError(f"--model {name}: DEPTH,NORMAL takes two checkpoints separated by one comma")
    if options.task is not None:
        raise InputError(f"--task {options.task}: with two checkpoints the first predicts depth, the second normals")
    depth = checkpoint_of(parts[0], "depth", options.depth_space, options.revision)
    normal = checkpoint_of(parts[1], "normal", None, options.revision)
    return _checked([depth, normal])


def _checked(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    for checkpoint in checkpoints:
        check_depth_space(checkpoint.source, checkpoint.metadata)
    return checkpoints


def checkpoint_of(name: str, task: str | None, depth_space: str | None, revision: str | None) -> Checkpoint:
    """One checkpoint and its metadata. Raises InputError when it is missing or its task is unknown."""
    source = source_of(name)
    if revision is not None and Path(source).is_dir():
        raise InputError(f"--revision {revision} belongs to a Hub id; {name} is a folder")
    metadata = with_options(source, known_metadata(source, metadata_folder(source, revision)), task, depth_space)
    return Checkpoint(file_safe(Path(source).resolve().name), source, metadata, revision)
