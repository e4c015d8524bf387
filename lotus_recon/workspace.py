"""The output folder: names every path, runs a stage once, locks, and commits by rename.

A stage writes into a scratch folder. When it is done, ``stage.json`` is written into it and the folder is renamed to
its final name, so a stage folder either is complete or does not exist. A scratch folder is named after the hash of its
configuration and inputs: what a killed run left is taken up again only by a run that would write the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon import __version__
from lotus_recon.durable import to_disk, tree_to_disk
from lotus_recon.errors import InputError
from lotus_recon.interruption import doing, end_if_asked
from lotus_recon.measuring import peak_memory_mb, release_memory, reset_peak_memory, warnings_logged
from lotus_recon.stage_file import STAGE_FILE, StageInfo, damaged, lost_files, sizes_below

log = logging.getLogger(__name__)

OWNERS_FILE = ".owners.json"  # marks an output folder of ours: what lies in it is no input
_LOCK_FILE = ".lock"
KEPT_FOLDER = ".kept"
_SCRATCH_FOLDER = ".scratch"
_SHOWN = 3  # damaged files in a message
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}-")  # begins the names of files that are being written


@dataclass(frozen=True)
class Place:
    """Where a stage keeps its files: a folder in the output folder, its own or, with ``part``, one it adds files to.

    ``folder`` may have parts (``prediction/lotus-d``). When the stage that owns a folder runs again, what others added
    goes with the old content.
    """

    folder: str
    part: str = ""  # name of the stage that adds files to the folder of another

    @property
    def info_file(self) -> str:
        """The stage.json, relative to the output folder."""
        return f"{self.folder}/{self.part}.{STAGE_FILE}" if self.part else f"{self.folder}/{STAGE_FILE}"

    @property
    def flat(self) -> str:
        """A name of one folder for it."""
        return self.folder.replace("/", "--") + (f"--{self.part}" if self.part else "")

    def __str__(self) -> str:
        return self.part or self.folder


class FolderInUseError(InputError):
    """Another run holds the output folder."""


class Workspace:
    """The output folder of one scene (or of one single-view run)."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @property
    def config_file(self) -> Path:
        """The resolved configuration, every default spelled out."""
        return self.root / "config.yaml"

    @property
    def images(self) -> Path:
        """Upright, undistorted photos."""
        return self.root / "images"

    def stage(self, place: Place) -> Path:
        """The final folder of a stage."""
        return self.root / place.folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the output folder for this process; made if it does not exist.

        Raises InputError when it cannot be written, FolderInUseError when another run holds it. The kernel frees the
        lock of a process that dies, so a killed run leaves nothing behind that would block the next.
        """
        make_folder(self.root)
        handle = _open_lock(self.root / _LOCK_FILE)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise FolderInUseError(
                    f"another run is using the output folder {self.root}; wait for it or choose another --out"
                ) from None
            for name in (OWNERS_FILE, self.config_file.name):
                remove_unfinished_file(self.root / name)
            yield
        finally:
            _remove_empty(self.root / _SCRATCH_FOLDER)
            os.close(handle)

    def run_stage(
        self,
        label: str,
        place: Place,
        run: Callable[[Path], object],
        wanted: Hashes,
        resumable: bool = False,
        note: str = "",
    ) -> None:
        """Compute and commit the stage at ``place``, called ``label`` in the log, unless it is there with these hashes.
        The log has the ``note`` after it.

        ``run`` gets the folder to write to and raises on failure. A ``resumable`` stage finds there what a killed run
        of the same configuration left, so it must write each file atomically; any other stage gets an empty folder.
        """
        end_if_asked()
        if self.is_current(place, wanted):
            log.info("%s%s: up to date", label, note)
            return
        self._warn_of_damage(label, place)
        scratch = self._scratch(place, wanted)
        done = StageInfo.read(scratch / STAGE_FILE)
        if done is None or not wanted.made(done) or damaged(scratch, done.files):
            log.info("%s%s: running", label, note)
            _remove(scratch / STAGE_FILE)
            if resumable:
                remove_unfinished(scratch)
            else:
                shutil.rmtree(scratch)
                scratch.mkdir()
            again = "goes on with what it has finished" if resumable else "starts again"
            with doing(f"the running step of {label}", f"{label} {again}, the stages before it are kept"):
                _execute(scratch, run, wanted)
        if place.part:
            self._add(place, scratch)
        else:
            self._replace(place, scratch)

    def is_current(self, place: Place, wanted: Hashes) -> bool:
        """Whether ``run_stage`` with the same arguments would only load."""
        info = self._info(place)
        return info is not None and wanted.made(info) and not self.damage(place)

    def made_from(self, place: Place) -> str:
        """The hash of what a stage read; empty when it was never finished."""
        info = self._info(place)
        return "" if info is None else str(info.content["input_hash"])

    def is_finished(self, place: Place) -> bool:
        """Whether the stage has ever been finished, with whatever configuration."""
        return self._info(place) is not None

    def damage(self, place: Place) -> list[str]:
        """Files of a finished stage that are gone or have another size, by their path in its folder."""
        return lost_files(self.root / place.info_file)

    def _info(self, place: Place) -> StageInfo | None:
        return StageInfo.read(self.root / place.info_file)

    def invalidate(self, place: Place) -> None:
        """Make the stage run again although nothing changed, and nothing that it kept of single photos is used."""
        _remove(self.root / place.info_file)
        _remove(self.kept(place))

    def kept(self, place: Place) -> Path:
        """Where a stage keeps what it made of single photos, for runs with other photos too."""
        return self.root / KEPT_FOLDER / place.flat

    def _warn_of_damage(self, label: str, place: Place) -> None:
        """Say why a finished stage runs again, where it is not for other options or input."""
        path = self.root / place.info_file
        if path.exists() and not self.is_finished(place):
            log.warning("%s: %s cannot be read: the stage runs again", label, path)
        if lost := self.damage(place):
            shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
            log.warning("%s: %s of %s gone or of another size: the stage runs again", label, shown, self.stage(place))

    def _scratch(self, place: Place, wanted: Hashes) -> Path:
        """Scratch folder of a stage; what other configurations left of the same stage is removed."""
        parent = self.root / _SCRATCH_FOLDER / place.flat
        scratch = parent / wanted.key
        for other in parent.glob("*"):
            if other != scratch:
                _remove(other)
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch

    def _replace(self, place: Place, scratch: Path) -> None:
        """Put a finished scratch folder in its place. A kill in between is mended by the next run."""
        final = self.stage(place)
        final.parent.mkdir(parents=True, exist_ok=True)
        old = scratch.with_name("replaced")
        tree_to_disk(scratch)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        scratch.rename(final)
        to_disk(final.parent)
        shutil.rmtree(old, ignore_errors=True)

    def _add(self, place: Place, scratch: Path) -> None:
        """Move finished files into the folder of another stage, their stage.json last."""
        final, info = self.stage(place), self.root / place.info_file
        before = self._info(place)
        _remove(info)
        for name in before.files if before is not None else ():
            _remove(final / name.split("/")[0])
        tree_to_disk(scratch)
        for path in sorted(scratch.iterdir()):
            if path.name != STAGE_FILE:
                _remove(final / path.name)
                path.rename(final / path.name)
        to_disk(final)
        (scratch / STAGE_FILE).rename(info)
        to_disk(final)
        scratch.rmdir()

    def stage_info(self, place: Place) -> dict[str, Any]:
        """The stage.json of a finished stage. Raises InputError when the stage has not been run."""
        path = self.root / place.info_file
        info = self._info(place)
        if info is None:
            why = f"{path} cannot be read" if path.exists() else f"{path} does not exist"
            raise InputError(f"stage {str(place)!r} has not been run in {self.root}: {why}")
        return dict(info.content)

    def stage_fingerprint(self, place: Place) -> str:
        """Changes whenever the stage is run again, so that the stages after it follow."""
        return str(self.stage_info(place)["run_id"])


@dataclass(frozen=True)
class Hashes:
    """What a stage was, or is to be, made with."""

    config_hash: str
    input_hash: str
    also: tuple[str, ...] = ()  # hashes of configurations whose results serve as well

    @classmethod
    def of(cls, config: Any, inputs: Mapping[str, str], also: Sequence[Any] = ()) -> Hashes:
        """From the options, and a fingerprint of each thing that the stage reads (``file_fingerprint``)."""
        served = tuple(fingerprint(to_plain(other)) for other in also)
        return cls(fingerprint(to_plain(config)), fingerprint(dict(inputs)), served)

    @property
    def key(self) -> str:
        """A short name for folders."""
        return fingerprint([self.config_hash, self.input_hash])[:16]

    def made(self, info: StageInfo) -> bool:
        """Whether a stage was made with these."""
        configs = (self.config_hash, *self.also)
        return info.content["input_hash"] == self.input_hash and info.content["config_hash"] in configs


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those below it, but for what holds a file."""
    for root, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(root)


def _execute(scratch: Path, run: Callable[[Path], Any], wanted: Hashes) -> None:
    """Run a stage in its scratch folder and write its stage.json last."""
    start = time.monotonic()
    release_memory()
    reset_peak_memory()
    with warnings_logged() as messages:
        run(scratch)
    info = {
        "config_hash": wanted.config_hash,
        "input_hash": wanted.input_hash,
        "files": sizes_below(scratch),
        "run_id": uuid.uuid4().hex,
        "version": __version__,
        "seconds": round(time.monotonic() - start, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "warnings": messages,
    }
    write_json(scratch / STAGE_FILE, info)


def make_folder(folder: Path) -> None:
    """Create a folder and check that it can be written. Raises InputError with the reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"output {folder} is a file or lies below one; --out takes a folder") from None
    except OSError as error:
        raise InputError(f"output folder {folder} cannot be written: {error.strerror}; choose another --out") from None


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Make a folder to write to; what ends before it wrote anything leaves none behind.

    Raises InputError when it cannot be written.
    """
    is_new = not folder.exists()
    make_folder(folder)
    try:
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # not empty: there is something to keep
                folder.rmdir()


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError(
            f"output folder {path.parent} cannot be locked: {error.strerror}; choose another --out"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON under a temporary name and rename it, so that readers never see half a file."""
    write_atomically(path, lambda part: part.write_text(json.dumps(to_plain(value), indent=1, allow_nan=False) + "\n"))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path`` (same suffix), then rename it; a failure leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")  # matches _UNFINISHED
    try:
        write(part)
        to_disk(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_unfinished(folder: Path, is_ours: Callable[[Path], bool] = lambda path: True) -> None:
    """Remove what processes that were killed within ``write_atomically`` left below a folder.

    ``is_ours`` is asked about the file that it was to become: nobody else may be writing it.
    """
    for part in folder.rglob(".????????-*"):
        if _UNFINISHED.match(part.name) and is_ours(part.with_name(_UNFINISHED.sub("", part.name, count=1))):
            part.unlink(missing_ok=True)


def remove_unfinished_file(path: Path) -> None:
    """Remove what processes that were killed while they wrote the file ``path`` left; nobody else may be writing it."""
    for part in path.parent.glob(f".????????-{glob.escape(path.name)}"):
        if _UNFINISHED.match(part.name):
            part.unlink(missing_ok=True)


def to_plain(value: Any, paths: bool = True) -> Any:
    """Dataclasses, enums, paths, tuples and numpy scalars as plain JSON values; without ``paths``, paths are None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name), paths) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, paths) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, paths) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value) if paths else None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def fingerprint(value: Any) -> str:
    """Hash of a plain value; dictionaries compare by content, not by order."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def file_fingerprint(path: Path) -> str:
    """Hash of the bytes of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_fingerprint(paths: Mapping[str, Path]) -> str:
    """Hash of the names and the bytes of several files."""
    return fingerprint({name: file_fingerprint(path) for name, path in paths.items()})
