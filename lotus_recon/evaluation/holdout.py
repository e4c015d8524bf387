"""Which sparse points a run of multi_view held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from lotus_recon.errors import InputError
from lotus_recon.types import BoolArray, Scene

HeldOut = Callable[[Scene, float, int], BoolArray]  # scene, share, seed -> (P,) the held-out points


def read_holdout(scene: Path) -> tuple[float, int, bool]:
    """Share, seed and strictness of the holdout of the run in the folder ``scene``, from its config.yaml.

    Raises InputError where that does not specify them.
    """
    path = scene / "config.yaml"
    try:
        stored = yaml.safe_load(path.read_text())
        alignment = stored["alignment"]
        return float(alignment["holdout"]), int(stored["runtime"]["seed"]), bool(alignment["holdout_strict"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not specify the holdout: {error}") from None
