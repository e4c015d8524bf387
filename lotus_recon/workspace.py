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
import hashlib
import json
import logging
import os
import resource
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lotus_recon import __version__
from lotus_recon.errors import InputError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

STAGE_FILE = "stage.json"
OWNERS_FILE = ".owners.json"  # marks an output folder of ours: what lies in it is no input
_LOCK_FILE = ".lock"
_SCRATCH_FOLDER = ".scratch"


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

    def stage(self, name: str) -> Path:
        """The final folder of a stage; a name may have parts (``prediction/lotus-d``)."""
        return self.root / name

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
        self,
        name: str,
        run: Callable[[Path], Result],
        load: Callable[[Path], Result],
        config: Any,
        inputs: Mapping[str, str],
        resumable: bool = False,
    ) -> Result:
        """Result of stage ``name``: loaded when it is there with the same hashes, otherwise computed and committed.

        ``inputs`` maps the name of each thing the stage reads to a fingerprint (``stage_fingerprint``,
        ``file_fingerprint``). ``run`` gets the folder to write to and raises on failure. A ``resumable`` stage finds
        there what a killed run of the same configuration left, so it must write each file atomically; any other stage
        gets an empty folder.
        """
        final = self.stage(name)
        wanted = _hashes(config, inputs)
        if _is_done(final, wanted):
            log.info("%s: up to date", name)
            return load(final)
        scratch = self._scratch(name, wanted)
        if not _is_done(scratch, wanted):
            log.info("%s: running", name)
            if not resumable:
                shutil.rmtree(scratch)
                scratch.mkdir()
            _execute(scratch, run, wanted)
        self._commit(name, scratch)
        return load(final)

    def is_current(self, name: str, config: Any, inputs: Mapping[str, str]) -> bool:
        """Whether ``run_stage`` with the same arguments would only load."""
        return _is_done(self.stage(name), _hashes(config, inputs))

    def is_finished(self, name: str) -> bool:
        """Whether the stage has ever been finished, with whatever configuration."""
        return (self.stage(name) / STAGE_FILE).is_file()

    def invalidate(self, name: str) -> None:
        """Make the stage run again although nothing changed."""
        (self.stage(name) / STAGE_FILE).unlink(missing_ok=True)

    def _scratch(self, name: str, wanted: Mapping[str, str]) -> Path:
        """Scratch folder of a stage; what other configurations left of the same stage is removed."""
        parent = self.root / _SCRATCH_FOLDER / name.replace("/", "--")
        scratch = parent / fingerprint(dict(wanted))[:16]
        for other in parent.glob("*"):
            if other != scratch:
                shutil.rmtree(other)
        scratch.mkdir(parents=True, exist_ok=True)
        return scratch

    def _commit(self, name: str, scratch: Path) -> None:
        """Put a finished scratch folder in its place. A kill in between is mended by the next run."""
        final = self.stage(name)
        final.parent.mkdir(parents=True, exist_ok=True)
        old = scratch.with_name("replaced")
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        scratch.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    def stage_info(self, name: str) -> dict[str, Any]:
        """The stage.json of a finished stage. Raises InputError when the stage has not been run."""
        path = self.stage(name) / STAGE_FILE
        if not path.is_file():
            raise InputError(f"stage {name!r} has not been run in {self.root}: {path} does not exist")
        info: dict[str, Any] = json.loads(path.read_text())
        return info

    def stage_fingerprint(self, name: str) -> str:
        """Changes whenever the stage is run again, so that the stages after it follow."""
        return str(self.stage_info(name)["run_id"])


def _hashes(config: Any, inputs: Mapping[str, str]) -> dict[str, str]:
    return {"config_hash": fingerprint(to_plain(config)), "input_hash": fingerprint(dict(inputs))}


def _is_done(folder: Path, wanted: Mapping[str, str]) -> bool:
    try:
        info = json.loads((folder / STAGE_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return all(info.get(key) == value for key, value in wanted.items())


def _execute(scratch: Path, run: Callable[[Path], Any], wanted: Mapping[str, str]) -> None:
    """Run a stage in its scratch folder and write its stage.json last."""
    start = time.monotonic()
    _reset_peak_memory()
    with warnings_logged() as messages:
        run(scratch)
    info = {
        **wanted,
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
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def warnings_logged() -> Iterator[list[str]]:
    """Collect the text of all warnings that this package logs meanwhile."""
    collector = _Collector()
    logger = logging.getLogger("lotus_recon")
    logger.addHandler(collector)
    try:
        yield collector.messages
    finally:
        logger.removeHandler(collector)


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
    part = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def to_plain(value: Any) -> Any:
    """Dataclasses, enums, paths, tuples and numpy scalars as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
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
