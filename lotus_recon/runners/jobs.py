"""One scene of a batch, typed: what it is made from and with which options."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lotus_recon import __version__
from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.foreign_files import refuse_foreign
from lotus_recon.recipes.base import Recipe, Source
from lotus_recon.recipes.registry import get_recipe
from lotus_recon.stages import options_of
from lotus_recon.workspace import OWNERS_FILE, fingerprint, to_plain

MAX_NAME_BYTES = 200  # file systems allow 255; temporary names are longer than final ones

_RESERVED = re.compile(r"(batch_report|events|log)\..*", re.IGNORECASE)


@dataclass(frozen=True)
class SceneJob:
    """One scene: its name is that of its folder in the output folder.

    A ``multi_view`` scene has one folder of ``images`` or a ``video``; a ``single_view`` one has photos, folders and
    patterns, or a video. Poses, masks and predictions stand in ``config``. Raises InputError for a name or a
    combination that cannot be used.
    """

    name: str
    kind: str
    config: Any
    images: tuple[str, ...] = ()
    video: Path | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        try:
            recipe = get_recipe(self.kind)
            if bool(self.images) == (self.video is not None):
                raise InputError("needs either images or a video")
            if self.video is None:
                recipe.check_images(self.images)
        except InputError as error:
            raise InputError(f"scene {self.name!r}: {error}") from None
        if not isinstance(self.config, recipe.config_type):
            raise InputError(f"scene {self.name!r}: a {self.kind} scene needs a {recipe.config_type.__name__}")

    @property
    def recipe(self) -> Recipe:
        """How it is reconstructed."""
        return get_recipe(self.kind)

    @property
    def runtime(self) -> Runtime:
        """How to compute."""
        return options_of(self.config, Runtime)

    def source(self, folder: Path) -> Source:
        """What the recipe starts from, when the scene's own folder is ``folder``."""
        return Source(self.images, self.video, folder)

    def given_paths(self) -> dict[str, Path]:
        """Files and folders that the options name, by option, and the video."""
        named = {**self.recipe.given_paths(self.config), "video": self.video}
        return {option: path for option, path in named.items() if path is not None}

    def signature(self) -> str:
        """Changes with the options, the version and the files that the scene is made from (by size and time).

        Whether results are up to date is decided by the contents of files, stage by stage; this tells cheaply that
        there is nothing to decide.
        """
        config = replace(self.config, runtime=replace(self.runtime, device="auto"))
        plain = {"kind": self.kind, "config": to_plain(config), "images": self.images, "version": __version__}
        given = [str(path) for path in self.given_paths().values()]
        sources = [path for source in (*self.images, *given) for path in _expanded(source)]
        return fingerprint({**plain, "files": [list(_file_states(Path(source))) for source in sources]})


def check_name(name: str) -> None:
    """Raise InputError unless ``name`` can be the name of a folder inside the output folder, on any file system."""

    def refuse(why: str) -> None:
        shown = name if len(name) <= 40 else f"{name[:40]}..."
        raise InputError(f"scene name {shown!r} {why}; allowed: one plain folder name")

    if not isinstance(name, str) or not name.strip():
        refuse("is empty")
    if "/" in name or "\\" in name or name in (".", ".."):
        refuse("leaves the output folder or names a folder in a folder")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        refuse("has a control character")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        refuse(f"is longer than {MAX_NAME_BYTES} bytes")
    if name.startswith((".", "-")) or name != name.strip():
        refuse("starts with '.' or '-', or has a space at an end")
    if _RESERVED.fullmatch(name):
        refuse("is that of a file of the batch")


def name_key(name: str) -> str:
    """The same for names that some file system takes for one: Unicode forms and case aside."""
    return unicodedata.normalize("NFC", name).casefold()


def check_unique(jobs: Iterable[SceneJob]) -> None:
    """Raise InputError when two scenes would write the same folder."""
    seen: dict[str, str] = {}
    for job in jobs:
        key = name_key(job.name)
        if key in seen:
            raise InputError(f"scenes {seen[key]!r} and {job.name!r} would share an output folder; rename one")
        seen[key] = job.name


def check_apart(jobs: Iterable[SceneJob], out: Path) -> None:
    """Raise InputError when a scene would be written over what it, or another one, is made from, or among files of
    others.

    An output folder may lie among photos, since they are told apart from outputs; not the other way round.
    """
    jobs, top = list(jobs), out.resolve()
    written = {top / job.name: job for job in jobs}
    for job in jobs:
        for source in (*job.images, *(str(path) for path in job.given_paths().values())):
            read = Path(source).resolve()
            if writer := next((written[folder] for folder in (read, *read.parents) if folder in written), None):
                raise InputError(
                    f"scene {job.name!r} reads {read}, which lies in the output folder of scene {writer.name!r}; "
                    "choose another --out"
                )
    refuse_foreign(out, lambda path: bool(_RESERVED.fullmatch(path.name)) or (path / OWNERS_FILE).is_file())


def shard_of(jobs: list[SceneJob], shard: str | None) -> list[SceneJob]:
    """Every N-th job from the I-th on, for ``I/N``. Raises InputError for anything else."""
    if shard is None:
        return jobs
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise InputError(f"--shard {shard}: must be I/N with 1 <= I <= N, such as 1/8")
    return jobs[part - 1 :: parts]


def _expanded(source: str) -> list[str]:
    """A path, or those that match it where it is a pattern."""
    is_pattern = glob.has_magic(source) and not os.path.exists(source)
    return sorted(glob.glob(source, recursive=True)) if is_pattern else [source]


def _file_states(path: Path) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, time in ns) of a file, or of all files below a folder, in order."""
    try:
        stat = path.stat()
    except OSError:
        yield str(path), -1, -1
        return
    if not path.is_dir():
        yield str(path), stat.st_size, stat.st_mtime_ns
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            found = Path(folder, name).stat()
            yield str(Path(folder, name)), found.st_size, found.st_mtime_ns
