"""The output folder: names every path, runs a stage once, locks, and commits by rename.

A stage writes into a scratch folder. When it is done, ``stage.json`` is written into it and the folder is renamed to
its final name, so a stage folder either is complete or does not exist. A scratch folder is named after the hash of its
configuration and inputs: what a killed run left is taken up again only by a run that would write the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import enum
import fcntl
import gc
import hashlib
import json
import logging
import os
import re
import resource
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lotus_recon import __version__
from lotus_recon.errors import InputError

log = logging.getLogger(__name__)

STAGE_FILE = "stage.json"
OWNERS_FILE = ".owners.json"  # marks an output folder of ours: what lies in it is no input
_LOCK_FILE = ".lock"
_SCRATCH_FOLDER = ".scratch"
_MUCH_MB = 1000  # peak memory from which what was freed is given back
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
            yield
        finally:
            os.close(handle)

    def run_stage(
        self, label: str, place: Place, run: Callable[[Path], object], wanted: Hashes, resumable: bool = False
    ) -> None:
        """Compute and commit the stage at ``place``, called ``label`` in the log, unless it is there with these hashes.

        ``run`` gets the folder to write to and raises on failure. A ``resumable`` stage finds there what a killed run
        of the same configuration left, so it must write each file atomically; any other stage gets an empty folder.
        """
        if self.is_current(place, wanted):
            log.info("%s: up to date", label)
            return
        scratch = self._scratch(place, wanted)
        if not wanted.are_in(scratch / STAGE_FILE):
            log.info("%s: running", label)
            if resumable:
                _remove_unfinished(scratch)
            else:
                shutil.rmtree(scratch)
                scratch.mkdir()
            _execute(scratch, run, wanted)
        if place.part:
            self._add(place, scratch)
        else:
            self._replace(place, scratch)

    def is_current(self, place: Place, wanted: Hashes) -> bool:
        """Whether ``run_stage`` with the same arguments would only load."""
        return wanted.are_in(self.root / place.info_file)

    def is_finished(self, place: Place) -> bool:
        """Whether the stage has ever been finished, with whatever configuration."""
        return (self.root / place.info_file).is_file()

    def invalidate(self, place: Place) -> None:
        """Make the stage run again although nothing changed."""
        (self.root / place.info_file).unlink(missing_ok=True)

    def _scratch(self, place: Place, wanted: Hashes) -> Path:
        """Scratch folder of a stage; what other configurations left of the same stage is removed."""
        name = place.folder.replace("/", "--") + (f"--{place.part}" if place.part else "")
        parent = self.root / _SCRATCH_FOLDER / name
        scratch = parent / wanted.key
        for other in parent.glob("*"):
            if other != scratch:
                shutil.rmtree(other)
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch

    def _replace(self, place: Place, scratch: Path) -> None:
        """Put a finished scratch folder in its place. A kill in between is mended by the next run."""
        final = self.stage(place)
        final.parent.mkdir(parents=True, exist_ok=True)
        old = scratch.with_name("replaced")
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        scratch.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    def _add(self, place: Place, scratch: Path) -> None:
        """Move finished files into the folder of another stage, their stage.json last."""
        final, info = self.stage(place), self.root / place.info_file
        if info.exists():
            names = self.stage_info(place)["files"]
            info.unlink()
            for name in names:
                _remove(final / name)
        for path in sorted(scratch.iterdir()):
            if path.name != STAGE_FILE:
                _remove(final / path.name)
                path.rename(final / path.name)
        (scratch / STAGE_FILE).rename(info)
        scratch.rmdir()

    def stage_info(self, place: Place) -> dict[str, Any]:
        """The stage.json of a finished stage. Raises InputError when the stage has not been run."""
        path = self.root / place.info_file
        if not path.is_file():
            raise InputError(f"stage {str(place)!r} has not been run in {self.root}: {path} does not exist")
        info: dict[str, Any] = json.loads(path.read_text())
        return info

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

    def are_in(self, stage_file: Path) -> bool:
        """Whether a stage.json tells of a stage that was made with these."""
        try:
            info = json.loads(stage_file.read_text())
        except (OSError, json.JSONDecodeError):
            return False
        configs = (self.config_hash, *self.also)
        return info.get("input_hash") == self.input_hash and info.get("config_hash") in configs


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _execute(scratch: Path, run: Callable[[Path], Any], wanted: Hashes) -> None:
    """Run a stage in its scratch folder and write its stage.json last."""
    start = time.monotonic()
    _release_memory()
    _reset_peak_memory()
    with warnings_logged() as messages:
        run(scratch)
    info = {
        "config_hash": wanted.config_hash,
        "input_hash": wanted.input_hash,
        "files": sorted(path.name for path in scratch.iterdir()),
        "run_id": uuid.uuid4().hex,
        "version": __version__,
        "seconds": round(time.monotonic() - start, 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "warnings": messages,
    }
    write_json(scratch / STAGE_FILE, info)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        collecting = _collecting.get()
        if self in collecting or not collecting:
            self.messages.append(record.getMessage())


# The collectors of the work that this thread does. Several threads may each run a stage; a thread that knows of no
# stage, one that a library started, works for any.
_collecting: ContextVar[tuple[_Collector, ...]] = ContextVar("collecting", default=())


@contextlib.contextmanager
def warnings_logged() -> Iterator[list[str]]:
    """Collect the text of all warnings that this package logs meanwhile, but for those of other threads' stages."""
    collector = _Collector()
    logger = logging.getLogger("lotus_recon")
    logger.addHandler(collector)
    token = _collecting.set((*_collecting.get(), collector))
    try:
        yield collector.messages
    finally:
        _collecting.reset(token)
        logger.removeHandler(collector)


def _release_memory() -> None:
    """Give memory that earlier stages freed back to the system: it would count beside what the next one takes.

    Caches that belong to methods are circles, which only the collector frees; glibc keeps what is freed in small parts.
    Collecting takes a tenth of a second, as long as a small stage, so it waits until much was taken.
    """
    if peak_memory_mb() < _MUCH_MB:
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak_memory() -> None:
    """Start a new peak measurement where the kernel can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        log.debug("peak memory cannot be reset here: stages report the peak of the process so far")


def peak_memory_mb() -> float:
    """Peak resident memory in megabytes since the stage began (Linux), or of the process."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed within ``write_atomically`` left below a folder."""
    for path in folder.rglob(".????????-*"):
        if _UNFINISHED.match(path.name) and path.is_file():
            path.unlink()


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
