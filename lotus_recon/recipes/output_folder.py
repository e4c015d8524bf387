"""Whose output folder is it: results of one set of photos are never mixed with those of another by accident."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lotus_recon.config import save_config
from lotus_recon.errors import InputError
from lotus_recon.foreign_files import refuse_foreign
from lotus_recon.io.images import SUFFIXES
from lotus_recon.stage_file import STAGE_FILE
from lotus_recon.workspace import KEPT_FOLDER, OWNERS_FILE, Workspace, write_json

log = logging.getLogger(__name__)

IsSame = Callable[[str], bool]  # whether a part of the output was made from the files that it is to be made from now

_KINDS = {"scene": "a scene of multi_view", "video": "depth of a video", "photos": "results of single photos"}

OWN_FILES = (
    "config.yaml",
    "log.txt",
    ".scratch",
    KEPT_FOLDER,
    "dense.ply",
    "dense.json",
)  # beside what the stages write


def check_apart(out: Path, written: Iterable[str], inputs: Mapping[str, Path | None]) -> None:
    """Raise InputError when an input lies where a run would write, or the folder holds what is not ours.

    ``written`` names what the run writes or replaces in the folder ``out``; ``inputs`` are paths by what they are. What
    stands in a folder that an earlier run claimed is ours, except what it did not claim.
    """
    claimed, is_ours = _claimed(out), (out / OWNERS_FILE).exists()
    targets = {name: (out / name).resolve() for name in written}
    for what, path in inputs.items():
        if path is None:
            continue
        inside = [target for target in targets.values() if path.resolve().is_relative_to(target)]
        if inside or path.resolve() == out.resolve():
            raise InputError(f"{what} {path} lies where the output goes ({out}); choose another --out")
    if is_ours and not claimed:  # it cannot be read
        claimed = {"scene": ""}
    ours = {name for name, target in targets.items() if _holds_a_stage(target)}
    if claimed or ours:  # one of ours is enough: who loses .owners.json alone has not lost the folder
        ours |= {*claimed, *OWN_FILES}
    if "scene" in claimed:
        ours |= set(targets)
    foreign = [name for name, target in targets.items() if target.exists() and name not in ours]
    if foreign:
        raise InputError(
            f"{out / foreign[0]} is not an output of this program and would be replaced; choose another --out"
        )
    if not claimed:
        refuse_foreign(out, lambda path: path.name in ours)


def check_owners(workspace: Workspace, owners: Mapping[str, str], force: bool, is_same: IsSame) -> None:
    """Raise InputError when a part of the folder belongs to other photos than ``owners`` says, unless ``force``.

    ``owners`` maps each part of the output (a photo's stem, "scene" or "video") to the path it is made from. Where that
    is another path than before, ``is_same`` says whether the files are the same: photos may be moved. A folder holds
    one scene, one video, or photos: a photo mesh.jpg would take the place of the mesh of a scene.
    ``force`` does not change that.
    """
    known = _claimed(workspace.root)
    kind = _kind(*next(iter(owners.items())))
    kinds = {_kind(part, source): source for part, source in known.items()}
    if kinds and kind not in kinds:
        other, source = next(iter(kinds.items()))
        raise InputError(
            f"{workspace.root} holds {_KINDS[other]} ({source}), which {_KINDS[kind]} would mix with; "
            "choose another --out"
        )
    moved = [part for part, source in owners.items() if known.get(part, source) != source]
    taken = [] if force else [part for part in moved if not is_same(part)]
    if taken:
        part = taken[0]
        raise InputError(
            f"{workspace.root} holds results of {known[part]}, not of {owners[part]}; "
            "choose another --out, or --force to replace them"
        )


def claim(workspace: Workspace, config: Any, owners: Mapping[str, str], force: bool, is_same: IsSame) -> None:
    """Write down what the folder is for, and the resolved configuration as config.yaml.

    Raises InputError as ``check_owners`` does.
    """
    check_owners(workspace, owners, force, is_same)
    write_json(workspace.root / OWNERS_FILE, {**_claimed(workspace.root), **owners})
    save_config(config, workspace.config_file)


def owner_of(out: Path, part: str) -> str | None:
    """The path that a part of an output folder is made from; None where nothing was claimed."""
    return _claimed(out).get(part)


def _claimed(out: Path) -> dict[str, str]:
    """What each part of an output folder is made from; empty, with a warning, when that cannot be read.

    Then every stage still has the hashes of its input, so nothing is taken for the result of other photos.
    """
    path = out / OWNERS_FILE
    try:
        claimed = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError):
        claimed = None
    if isinstance(claimed, dict) and all(isinstance(source, str) for source in claimed.values()):
        return claimed
    log.warning("%s cannot be read: it is written again, and stages run again where their input differs", path)
    return {}


def _kind(part: str, source: str) -> str:
    """One of ``_KINDS``; a photo may be called scene.jpg."""
    return part if part in _KINDS and Path(source).suffix.lower() not in SUFFIXES else "photos"


def _holds_a_stage(folder: Path) -> bool:
    """Whether one lies in a folder or, as ``prediction/<model>``, in one in it."""
    return folder.is_dir() and any(path for depth in ("", "*/") for path in folder.glob(f"{depth}*{STAGE_FILE}"))
