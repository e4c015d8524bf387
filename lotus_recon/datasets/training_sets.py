"""The data sets that can be trained on, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lotus_recon.datasets.hypersim import HypersimSet
from lotus_recon.datasets.hypersim_processed import ProcessedHypersimSet, is_processed
from lotus_recon.datasets.rgbd_folder import FolderSet
from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.datasets.samples import TrainingSet
from lotus_recon.datasets.vkitti2 import Vkitti2Set
from lotus_recon.errors import InputError


def _hypersim(root: Path, split: str) -> TrainingSet:
    """Hypersim in either of its layouts."""
    return ProcessedHypersimSet(root, split) if is_processed(root) else HypersimSet(root, split)


def _hypersim_all_cameras(root: Path, split: str) -> TrainingSet:
    """Hypersim with the scenes whose cameras are unusual (tilt-shift)."""
    return HypersimSet(root, split, unusual_cameras=True)


KINDS: Mapping[str, Callable[[Path, str], TrainingSet]] = {
    "hypersim": _hypersim,
    "hypersim_all_cameras": _hypersim_all_cameras,
    "vkitti2": Vkitti2Set,
    "rooms": RoomsSet,
    "folder": FolderSet,
}


def open_training_set(kind: str, root: Path, split: str) -> TrainingSet:
    """The samples of ``split`` (train, val or all) of the data set in folder ``root``.

    Raises InputError for an unknown kind, or a folder that cannot be this data set.
    """
    if kind not in KINDS:
        raise InputError(f"data set kind {kind!r}: allowed are {', '.join(KINDS)}")
    return KINDS[kind](Path(root), split)
