"""Whose output folder is it: results of one set of photos are never mixed with those of another by accident."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lotus_recon.config import save_config
from lotus_recon.errors import InputError
from lotus_recon.workspace import Workspace, write_json

_OWNERS_FILE = ".owners.json"


def claim(workspace: Workspace, config: Any, owners: Mapping[str, str], force: bool) -> None:
    """Write down what the folder is for, and the resolved configuration as config.yaml.

    ``owners`` maps each part of the output (a photo's stem, or "scene") to the path it is made from. Raises InputError
    when a part belongs to another path, unless ``force``.
    """
    path = workspace.root / _OWNERS_FILE
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    taken = [part for part, source in owners.items() if known.get(part, source) != source]
    if taken and not force:
        part = taken[0]
        raise InputError(
            f"{workspace.root} holds results of {known[part]}, not of {owners[part]}; "
            "choose another --out, or --force to replace them"
        )
    write_json(path, {**known, **owners})
    save_config(config, workspace.config_file)
