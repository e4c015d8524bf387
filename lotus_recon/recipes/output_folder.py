"""Whose output folder is it: results of one set of photos are never mixed with those of another by accident."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lotus_recon.config import save_config
from lotus_recon.errors import InputError
from lotus_recon.workspace import OWNERS_FILE, Workspace, write_json

OWN_FILES = ("config.yaml", "log.txt", ".scratch", "dense.ply", "dense.json")  # beside what the stages write


def check_apart(out: Path, written: Iterable[str], inputs: Mapping[str, Path | None]) -> None:
    """Raise InputError when an input lies where a run would write, or something that is not ours is there.

    ``written`` names what the run writes or replaces in the folder ``out``; ``inputs`` are paths by what they are. What
    stands in a folder that an earlier run claimed is ours, except what it did not claim.
    """
    claimed = _claimed(out)
    targets = {name: (out / name).resolve() for name in written}
    for what, path in inputs.items():
        if path is None:
            continue
        inside = [target for target in targets.values() if path.resolve().is_relative_to(target)]
        if inside or path.resolve() == out.resolve():
            raise InputError(f"{what} {path} lies where the output goes ({out}); choose another --out")
    ours = {*claimed, *OWN_FILES} if claimed else set()
    if "scene" in claimed:
        ours |= set(targets)
    foreign = [name for name, target in targets.items() if target.exists() and name not in ours]
    if foreign:
        raise InputError(
            f"{out / foreign[0]} is not an output of this program and would be replaced; choose another --out"
        )


def check_owners(workspace: Workspace, owners: Mapping[str, str], force: bool) -> None:
    """Raise InputError when a part of the folder belongs to another path than ``owners`` says, unless ``force``.

    ``owners`` maps each part of the output (a photo's stem, or "scene") to the path it is made from.
    """
    known = _claimed(workspace.root)
    taken = [part for part, source in owners.items() if known.get(part, source) != source]
    if taken and not force:
        part = taken[0]
        raise InputError(
            f"{workspace.root} holds results of {known[part]}, not of {owners[part]}; "
            "choose another --out, or --force to replace them"
        )


def claim(workspace: Workspace, config: Any, owners: Mapping[str, str], force: bool) -> None:
    """Write down what the folder is for, and the resolved configuration as config.yaml.

    Raises InputError as ``check_owners`` does.
    """
    check_owners(workspace, owners, force)
    write_json(workspace.root / OWNERS_FILE, {**_claimed(workspace.root), **owners})
    save_config(config, workspace.config_file)


def owner_of(out: Path, part: str) -> str | None:
    """The path that a part of an output folder is made from; None where nothing was claimed."""
    return _claimed(out).get(part)


def _claimed(out: Path) -> dict[str, str]:
    path = out / OWNERS_FILE
    claimed: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return claimed
