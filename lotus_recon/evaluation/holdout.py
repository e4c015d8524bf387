"""Which sparse points a run of multi_view held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lotus_recon.bounded_yaml import load_bounded_file
from lotus_recon.errors import InputError
from lotus_recon.limits import LARGEST_INT
from lotus_recon.outside import member, number, whole
from lotus_recon.types import BoolArray, Scene

HeldOut = Callable[[Scene, float, int], BoolArray]  # scene, share, seed -> (P,) the held-out points


def read_holdout(scene: Path) -> tuple[float, int, bool]:
    """Share, seed and strictness of the holdout of the run in the folder ``scene``, from its config.yaml.

    Raises InputError where that does not specify them.
    """
    path = scene / "config.yaml"
    try:
        stored = load_bounded_file(path, str(path))
        alignment, runtime = (member(stored, group, group) for group in ("alignment", "runtime"))
        share = number(member(alignment, "holdout", "alignment"), "alignment.holdout")
        seed = whole(member(runtime, "seed", "runtime"), "runtime.seed", 0, LARGEST_INT)
        return share, seed, bool(member(alignment, "holdout_strict", "alignment"))
    except InputError as error:
        raise InputError(f"{path} does not specify the holdout: {error}") from None
