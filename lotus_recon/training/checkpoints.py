"""Checkpoints of a run: each is complete or absent, whatever happens while it is written.

A checkpoint is a folder ``step_00000500`` that holds the state and, beside it, how many bytes that has and how many the
other files of the run had then. It is written under another name, brought to the disk, and renamed.
"""

from __future__ import annotations

import json
import logging
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lotus_recon.durable import is_disk_full, to_disk
from lotus_recon.errors import TrainingError
from lotus_recon.stage_file import damaged, listed_files

log = logging.getLogger(__name__)

_STATE_FILE = "state.pt"
_METADATA_FILE = "checkpoint.json"
_NAME = re.compile(r"step_(\d{8,})")
_SCRATCH_PREFIX = ".writing-"
_REPLACED_PREFIX = ".replaced-"


@dataclass(frozen=True)
class Checkpoint:
    """Where the state after ``step`` steps lies."""

    step: int
    folder: Path


def checkpoint_folder(root: Path, step: int) -> Path:
    """Where the checkpoint after ``step`` steps belongs."""
    return root / f"step_{step:08d}"


def list_checkpoints(root: Path) -> list[Checkpoint]:
    """The checkpoints below ``root``, the latest first."""
    if not root.is_dir():
        return []
    matches = [(match, folder) for folder in root.iterdir() if (match := _NAME.fullmatch(folder.name))]
    return sorted((Checkpoint(int(match[1]), folder) for match, folder in matches), key=lambda c: -c.step)


def save_checkpoint(
    root: Path, step: int, state: dict[str, Any], limit: int, files: Mapping[str, int] | None = None
) -> Checkpoint:
    """Write the state after ``step`` steps and keep the latest ``limit`` checkpoints up to this one.

    ``files``: size in bytes of each file that the run has written beside its checkpoints, by its path in the run. Later
    checkpoints are removed: a run that resumed from an earlier step found them unusable. Raises TrainingError, with all
    earlier ones unchanged, when the state cannot be written.
    """
    checkpoint = Checkpoint(step, checkpoint_folder(root, step))
    try:
        commit_folder(checkpoint.folder, lambda scratch: _write(scratch, step, state, files or {}))
    except OSError as error:
        kept = list_checkpoints(root)
        earlier = f"the latest one is still {kept[0].folder}" if kept else "there is no earlier one"
        raise TrainingError(
            f"checkpoint after step {step} could not be written to {root}: {_reason(error)}; {earlier}"
        ) from error
    kept = [c for c in list_checkpoints(root) if c.step <= step][:limit]
    for other in list_checkpoints(root):
        if other not in kept:
            shutil.rmtree(other.folder)
    return checkpoint


def _reason(error: OSError) -> str:
    full = is_disk_full(error)
    return f"{error.strerror or error}{'; free some space and run the same command again' if full else ''}"


def _write(folder: Path, step: int, state: dict[str, Any], files: Mapping[str, int]) -> None:
    path = folder / _STATE_FILE
    with open(path, "wb") as handle:
        try:
            torch.save(state, handle)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # a full disk, of which torch says "unexpected pos 704 vs 598"
                raise error.__context__ from None
            raise
    metadata = {"step": step, "bytes": path.stat().st_size, "files": files}
    (folder / _METADATA_FILE).write_text(json.dumps(metadata) + "\n")


def commit_folder(final: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a new folder and put it, once it is on the disk, in the place of ``final``."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(final) as scratch:
        write(scratch)
        # The user's mask says who may read; safetensors lets nobody but the owner.
        mode = scratch.stat().st_mode & 0o666
        for path in scratch.rglob("*"):
            if path.is_file():
                path.chmod(mode)
            to_disk(path)
        to_disk(scratch)
        replaced = final.with_name(f"{_REPLACED_PREFIX}{final.name}")
        shutil.rmtree(replaced, ignore_errors=True)
        if final.exists():
            final.rename(replaced)
        scratch.rename(final)
        to_disk(final.parent)
        shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _scratch(final: Path) -> Iterator[Path]:
    """An empty folder beside ``final``; what is left of it in the end, or by a killed run before, is removed."""
    scratch = final.with_name(f"{_SCRATCH_PREFIX}{final.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove what a killed run was writing below ``root``."""
    for prefix in (_SCRATCH_PREFIX, _REPLACED_PREFIX):
        for folder in root.glob(f"{prefix}*"):
            shutil.rmtree(folder)


def load_latest(root: Path) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The latest checkpoint that can be read, and its state on the CPU; None when there is no checkpoint at all.

    A checkpoint that is damaged is passed over with a warning. Raises TrainingError naming them when all are.
    """
    checkpoints = list_checkpoints(root)
    for checkpoint in checkpoints:
        try:
            return checkpoint, read_checkpoint(checkpoint)
        except TrainingError as error:
            log.warning("%s; trying the one before it", error)
    if checkpoints:
        names = ", ".join(str(checkpoint.folder) for checkpoint in checkpoints)
        raise TrainingError(f"no checkpoint can be read: {names}; remove them to start from the beginning")
    return None


def lost_files(latest: Checkpoint) -> list[Path]:
    """Files of a run that are gone or of another size, and that nothing makes again. ``latest`` is a readable one."""
    run = latest.folder.parent.parent
    written = listed_files(json.loads((latest.folder / _METADATA_FILE).read_text()).get("files")) or {}
    earlier = [c for c in list_checkpoints(latest.folder.parent) if c.step < latest.step]
    return [run / name for name in damaged(run, written)] + [c.folder for c in earlier if not _has_its_size(c)]


def _has_its_size(checkpoint: Checkpoint) -> bool:
    try:
        _check_size(checkpoint)
    except (TrainingError, OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _check_size(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / _STATE_FILE
    metadata = json.loads((checkpoint.folder / _METADATA_FILE).read_text())
    if path.stat().st_size != metadata["bytes"]:
        raise TrainingError(f"checkpoint {path} has {path.stat().st_size} bytes of {metadata['bytes']}")


def read_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state in a checkpoint, on the CPU. Raises TrainingError when it is damaged."""
    path = checkpoint.folder / _STATE_FILE
    try:
        _check_size(checkpoint)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(f"checkpoint {checkpoint.folder} is damaged: {str(error).splitlines()[0]}") from None
