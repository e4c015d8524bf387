"""Native libraries, tried in a process of their own before a run needs them.

A library that lacks a shared object of the system raises at its import; one that does not fit the machine aborts the
process. Both would otherwise happen in the middle of a run. Imports only the standard library.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import importlib.util
import json
import logging
import os
import platform
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lotus_recon.cache import cache_folder
from lotus_recon.errors import InputError

log = logging.getLogger(__name__)

_TIMEOUT_S = 300.0  # a cold disk on a busy machine; a library that takes longer hangs
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class Library:
    """What has to be installed for an import to work."""

    pip: str  # requirement for pip
    shared_objects: Mapping[str, str] = field(default_factory=dict)  # from the system; the Debian package of each


# Libraries whose name for pip is not that of the import, or that load shared objects of the system.
LIBRARIES: dict[str, Library] = {
    "OpenEXR": Library("lotus-recon[eval]"),
    "av": Library("av"),
    "cv2": Library("opencv-python-headless"),
    "h5py": Library("lotus-recon[train]"),
    "mitsuba": Library("lotus-recon[train]"),
    "open3d": Library(
        "open3d",
        {
            "libusb-1.0.so.0": "libusb-1.0-0",
            "libGL.so.1": "libgl1",
            "libEGL.so.1": "libegl1",
            "libX11.so.6": "libx11-6",
            "libgomp.so.1": "libgomp1",
        },
    ),
    "pillow_heif": Library("pillow-heif"),
    "pxr": Library("lotus-recon[usd]"),
    "pyoidn": Library("lotus-recon[train]"),
    "ray": Library("lotus-recon[cluster]"),
}


def require(libraries: Sequence[str]) -> None:
    """Raise InputError, naming what to install, unless each library (a module name) can be imported here.

    To be called before long work. Libraries that this process has imported are not tried again; the others are, all in
    one subprocess, unless they worked on this machine before.
    """
    found = failures(libraries)
    if found:
        raise InputError("\n".join(found.values()))


def failures(libraries: Sequence[str]) -> dict[str, str]:
    """Why a library cannot be imported here and what to install, by name; those that can be are left out."""
    untried = {name: _import_facts(name) for name in dict.fromkeys(libraries) if name not in sys.modules}
    unknown = {name: facts for name, facts in untried.items() if recall(facts) is None}
    if not unknown:
        return {}
    found = _failures_in_subprocess(list(unknown))
    for name, facts in unknown.items():
        if name not in found:
            remember(facts, Outcome(None))
    return found


@dataclass(frozen=True)
class Outcome:
    """How an attempt in a subprocess ended."""

    failure: str | None  # one line; None when it went well
    is_final: bool = True  # False when another attempt may end in another way
    printed: str = ""


def attempt(code: str, environment: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> Outcome:
    """Run Python code in a fresh interpreter that finds the same modules, where it may abort.

    ``environment`` is added to that of this process.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    child_environment = {**os.environ, **(environment or {}), "PYTHONPATH": path}
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"{_NO_CORE_FILE}\n{code}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=child_environment,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        printed = (error.stdout or b"").decode(errors="replace")
        return Outcome(f"it does not end within {timeout_s:g} s", is_final=False, printed=printed)
    return _outcome_of(done)


_NO_CORE_FILE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"


def _outcome_of(done: subprocess.CompletedProcess[str]) -> Outcome:
    if done.returncode == 0:
        return Outcome(None, printed=done.stdout)
    lines = [line.strip()[:_LONGEST_REASON] for line in done.stderr.splitlines() if line.strip()]
    if done.returncode > 0:
        return Outcome(lines[-1] if lines else f"status {done.returncode}", printed=done.stdout)
    number = -done.returncode
    # What aborts says why, and often prints its stack after that.
    said = next((line for line in lines if re.search(r"error|terminate|fail", line, re.IGNORECASE)), None)
    reason = ": ".join(part for part in (signal.Signals(number).name, said) if part)
    # Somebody else kills, and there may be memory another time.
    return Outcome(reason, is_final=number not in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT), printed=done.stdout)


def recall(facts: Mapping[str, Any]) -> Outcome | None:
    """What ``remember`` kept for the same facts, in this process or in the user's cache folder; None if nothing."""
    path = _cache_file(facts)
    if path in _remembered:
        return _remembered[path]
    try:
        content = json.loads(path.read_text())
        failure = content["failure"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if failure is not None and not isinstance(failure, str):
        return None
    _remembered[path] = Outcome(failure)
    return _remembered[path]


def remember(facts: Mapping[str, Any], outcome: Outcome) -> None:
    """Keep an outcome for all runs on this machine with the same facts, versions for example."""
    path = _cache_file(facts)
    _remembered[path] = outcome
    part = path.with_name(f".{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({"failure": outcome.failure, **facts}, indent=1))
        part.replace(path)
    except OSError as error:
        log.debug("%s cannot be written: %s", path, error.strerror)


_remembered: dict[Path, Outcome] = {}


def _cache_file(facts: Mapping[str, Any]) -> Path:
    text = json.dumps([facts, _machine()], sort_keys=True)
    return cache_folder() / "native" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _machine() -> dict[str, Any]:
    """What decides on this machine whether a library works, besides the library: its processor, what is installed."""
    return {
        "python": [sys.executable, sys.version],
        "processor": _processor(),
        # Rewritten whenever a package with shared objects comes or goes.
        "linker": file_facts(Path("/etc/ld.so.cache")),
        "environment": [os.environ.get(name) for name in ("LD_LIBRARY_PATH", "LD_PRELOAD")],
    }


@functools.lru_cache(maxsize=1)
def _processor() -> list[str]:
    facts = {platform.machine(), platform.processor()}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return sorted(facts)
    wanted = re.compile(r"(vendor_id|model name|flags|Features|CPU part)\s*:")
    return sorted(facts | {line for line in lines if wanted.match(line)})


def file_facts(path: Path | None) -> list[Any]:
    """What changes when a file is replaced: its path, time and size."""
    if path is None or not path.exists():
        return [str(path)]
    stat = path.stat()
    return [str(path.resolve()), stat.st_mtime_ns, stat.st_size]


def _import_facts(name: str) -> dict[str, Any]:
    spec = importlib.util.find_spec(name)
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    return {"import": name, "file": file_facts(origin)}


def _failures_in_subprocess(names: Sequence[str]) -> dict[str, str]:
    """Like ``failures``; after an abort those that were not reached yet are tried in another process."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    found = {name: f"{name} is not installed: {_pip_command(name)}" for name in missing}
    rest = [name for name in names if name not in found]
    while rest:
        outcome = attempt(f"from lotus_recon.native import try_imports\ntry_imports({rest!r})")
        reports = list(_reports(outcome.printed))
        found |= {name: text for name, text in reports if text is not None}
        rest = rest[len(reports) :]
        if rest:
            culprit = rest.pop(0)
            found[culprit] = _abort_message(culprit, outcome.failure or "status 0")
    return found


def try_imports(names: Sequence[str]) -> None:
    """Import modules one after the other and print for each what ``failures`` says of it; ends the process."""
    reports = os.dup(1)
    os.dup2(2, 1)  # what a library prints is not for the reader of the reports
    _import("PIL.Image")  # pycolmap before Pillow aborts the process when a PNG is saved later
    for name in names:
        error = _import(name)
        os.write(reports, (json.dumps([name, error and _import_message(name, error)]) + "\n").encode())
    os._exit(0)  # how libraries take themselves down is of no interest


def _import(name: str) -> str | None:
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  a library may raise anything; OSError where it loads others by hand
        return f"{type(error).__name__}: {error}"
    return None


def _reports(printed: str) -> Iterator[tuple[str, str | None]]:
    for line in printed.splitlines():
        name, text = json.loads(line)
        yield name, text


def _import_message(name: str, error: str) -> str:
    """What to install. Runs in the process in which the import failed."""
    reason = error.splitlines()[0][:_LONGEST_REASON]
    packages = _missing_packages(name, error)
    if packages:
        what = f"install the system package{'s' if len(packages) > 1 else ''} {', '.join(packages)}"
        return f"{name} cannot be imported ({reason}): {what} (sudo apt-get install {' '.join(packages)})"
    shared_object = _shared_object_in(error)
    if shared_object:
        return f"{name} cannot be imported ({reason}): install the system package that holds {shared_object}"
    return f"{name} cannot be imported ({reason}): {_pip_command(name, '--force-reinstall ')}"


def _missing_packages(name: str, error: str) -> list[str]:
    """Debian packages with the shared objects that a library misses; the error names only the first of them."""
    shared_objects = LIBRARIES.get(name, Library(name)).shared_objects
    absent = [file for file in shared_objects if file == _shared_object_in(error) or not _can_load(file)]
    known = {file: package for library in LIBRARIES.values() for file, package in library.shared_objects.items()}
    named = [known[file] for file in [_shared_object_in(error)] if file in known]
    return list(dict.fromkeys([*named, *(shared_objects[file] for file in absent)]))


def _shared_object_in(error: str) -> str | None:
    match = re.search(r"(lib[\w.+-]+\.so[.\d]*): ", error)
    return match[1] if match else None


def _can_load(shared_object: str) -> bool:
    try:
        ctypes.CDLL(shared_object)
    except OSError:
        return False
    return True


def _abort_message(name: str, reason: str) -> str:
    hint = "it was built for another processor, " if reason.startswith("SIGILL") else ""
    return f"importing {name} ends the process ({reason}): {hint}{_pip_command(name, '--force-reinstall ')}"


def _pip_command(name: str, option: str = "") -> str:
    requirement = LIBRARIES.get(name, Library(name)).pip
    return f"pip install {option}'{requirement}'" if "[" in requirement else f"pip install {option}{requirement}"
