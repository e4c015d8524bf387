"""A lease on a scene's folder that holds across machines, and is recognised as stale when its holder is dead.

The kernel's lock (``Workspace.locked``) ends with its process but does not reach other machines on every shared disk.
``filelock.SoftFileLease`` is a file with host, process and the time the process started, renewed by a thread: on its
own machine a holder is alive while that very process runs, and its lease is taken over when it does not. Of a holder on
another machine filelock wants to see for itself that it renews nothing for the whole duration; here its lease is
compared with a new file on the same disk, so that a scene of a machine that died yesterday can be taken at once. The
clocks of the machines need not agree.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from filelock import MarkerSoftFileLock, SoftFileLease, Timeout

from lotus_recon.workspace import FolderInUseError

LEASE_FILE = ".lease"
RENEW_SECONDS = 20.0
STALE_SECONDS = 180.0  # without a renewal, for a holder on another machine

_ATTEMPTS = 5  # others may take or leave the lease meanwhile
_TAKEOVER_SECONDS = 10.0  # to wait for others that judge the same lease


class Lease:
    """The right to work on one scene."""

    def __init__(self, lock: SoftFileLease) -> None:
        self._lock = lock

    @classmethod
    def take(cls, folder: Path) -> Lease:
        """Take the lease on a folder, made if need be. Raises FolderInUseError naming the holder that is alive."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LEASE_FILE
        lock = SoftFileLease(path, lease_duration=STALE_SECONDS, heartbeat_interval=RENEW_SECONDS, thread_local=False)
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return cls(lock)
            _remove_if_stale(path, lock)
        raise FolderInUseError(f"other batches keep taking {folder}")

    def release(self) -> None:
        """Give the lease back, if it was not taken over."""
        self._lock.release()


def _remove_if_stale(path: Path, lock: SoftFileLease) -> None:
    """Remove a lease that filelock cannot judge at once: of another machine, or cut off; if it is not renewed any more.

    Raises FolderInUseError when the holder is alive.
    """
    with contextlib.ExitStack() as stack:
        probe = MarkerSoftFileLock(path.with_name(f"{LEASE_FILE}-takeover"), timeout=_TAKEOVER_SECONDS)
        try:
            stack.enter_context(probe)  # one at a time: nobody removes the new lease of one who was quicker
        except Timeout:
            raise FolderInUseError(f"{probe.lock_file} stays: remove it if no other batch works here") from None
        holder, here = lock.owner, probe.owner
        try:
            age = Path(probe.lock_file).stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return  # given back meanwhile
        if age < STALE_SECONDS or (holder and here and holder.hostname == here.hostname):
            by = f" (process {holder.pid} on {holder.hostname})" if holder else ""
            raise FolderInUseError(f"another batch works on {path.parent}{by}")
        path.unlink(missing_ok=True)
