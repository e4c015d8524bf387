"""The export targets. A new one is a file here with its ``TARGET``, and its line in ``TARGETS``. Imports no library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from lotus_recon.config import did_you_mean
from lotus_recon.errors import InputError
from lotus_recon.exporting.targets.base import Target

TARGETS: Mapping[str, str] = {  # name on the command line, and the file
    "colmap": "colmap",
    "openmvs": "openmvs",
    "nerfstudio": "nerfstudio",
    "3dgs": "gaussian_splatting",
    "dn-splatter": "dn_splatter",
    "mvsnet": "mvsnet",
    "blender": "blender",
}


def load_target(name: str) -> Target:
    """The target with a name in ``TARGETS``."""
    target: Target = importlib.import_module(f"{__name__}.{TARGETS[name]}").TARGET
    return target


def targets_named(text: str | None, option: str = "--export") -> tuple[str, ...]:
    """The names in a list with commas, in the order of ``TARGETS``. Raises InputError for another name, or none."""
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    allowed = f"allowed: {', '.join(TARGETS)}, with commas between them"
    if not names:
        raise InputError(f"{option} {text!r} names no target; {allowed}")
    for name in names:
        if name not in TARGETS:
            raise InputError(f"{option} {text}: {name!r} is no target{did_you_mean(name, list(TARGETS))}; {allowed}")
    return tuple(name for name in TARGETS if name in names)
