"""A lease on a scene's folder that holds across machines, and is recognised as stale when its holder is dead.

The kernel's lock (``Workspace.locked``) ends with its process but does not reach other machines on every shared disk.
The lease is a file, made by hard link (atomic on NFS too), with host, boot, process and its start time. On its own
machine a holder is alive while that very process runs; from elsewhere, while the file's time keeps being renewed. Times
are those of the file system, so that clocks of machines need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lotus_recon.workspace import FolderInUseError

LEASE_FILE = ".lease.json"
RENEW_SECONDS = 20.0
STALE_SECONDS = 180.0  # without a renewal, for a holder on another machine


class Lease:
    """The right to work on one scene."""

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        self.token = token

    @classmethod
    def take(cls, folder: Path) -> Lease:
        """Take the lease on a folder, made if need be. Raises FolderInUseError naming the holder that is alive."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LEASE_FILE
        token = uuid.uuid4().hex
        mine = folder / f".lease-{token}"
        mine.write_text(json.dumps({"token": token, **_myself()}))
        try:
            for _ in range(5):  # others may take or leave it meanwhile
                if _linked(mine, path):
                    return cls(path, token)
                _clear_if_stale(path, mine)
        finally:
            mine.unlink(missing_ok=True)
        raise FolderInUseError(f"another batch keeps taking {folder}")

    def renew(self) -> None:
        """Say that the holder is alive."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        if _read(self.path).get("token") == self.token:
            self.path.unlink(missing_ok=True)


class Renewal:
    """Renews leases when they are due; to be called often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def tick(self, leases: Iterable[Lease]) -> None:
        """Renew all, if it is time."""
        if time.monotonic() - self._last >= RENEW_SECONDS:
            self._last = time.monotonic()
            for lease in leases:
                lease.renew()


def _linked(mine: Path, path: Path) -> bool:
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    return True


def _clear_if_stale(path: Path, mine: Path) -> None:
    """Remove a lease whose holder is dead. Raises FolderInUseError when it is alive."""
    holder = _read(path)
    if not holder:  # gone, or the disk was full when it was written
        if _age(path, mine) < RENEW_SECONDS:
            time.sleep(0.01)
            return
    elif _alive(holder, path, mine):
        host, pid = holder.get("host"), holder.get("pid")
        raise FolderInUseError(f"another batch works on {path.parent} (process {pid} on {host})")
    # Whoever renames it first may clear it; if it changed since it was judged, it is put back.
    taken = path.with_name(f".lease-stale-{uuid.uuid4().hex}")
    try:
        path.rename(taken)
    except FileNotFoundError:
        return
    if _read(taken).get("token") != holder.get("token"):
        _linked(taken, path)
    taken.unlink()


def _alive(holder: dict[str, Any], path: Path, mine: Path) -> bool:
    me = _myself()
    if holder.get("host") == me["host"]:
        if holder.get("boot") != me["boot"]:
            return False
        return _start_of(int(holder.get("pid", 0))) == holder.get("start")
    return _age(path, mine) < STALE_SECONDS


def _age(path: Path, mine: Path) -> float:
    """Seconds since the lease was renewed, by the clock of the file system."""
    with contextlib.suppress(OSError):
        os.utime(mine)
        return mine.stat().st_mtime - path.stat().st_mtime
    return 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value


def _myself() -> dict[str, Any]:
    return {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "start": _start_of(os.getpid())}


def _boot() -> str:
    """Names this start of the machine, and the container where process numbers count."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {namespace}"
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When a process began, so that a number given out again is not taken for it; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "unknown" if not Path("/proc/self").exists() and _answers(pid) else None
    return None if fields[0] in ("Z", "X") else fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0


@contextlib.contextmanager
def leased(folder: Path) -> Iterator[Lease]:
    """Hold the lease on a folder."""
    lease = Lease.take(folder)
    try:
        yield lease
    finally:
        lease.release()
