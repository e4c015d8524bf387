"""What files hold, as a hash; of large ones, such as weights and maps, it is remembered."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from lotus_recon.cache import cache_folder
from lotus_recon.workspace import file_fingerprint, write_json

_LARGE = 4_000_000  # bytes
_FILE = "content.json"
_MOST = 5000  # files that are remembered


def content_of(path: Path) -> str:
    """Hash of the bytes of a file. A large one is read once: while place, size and time stay, it is the same."""
    state = path.stat()
    if state.st_size < _LARGE:
        return file_fingerprint(path)
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
    known = _known()
    if key not in known:
        known[key] = file_fingerprint(path)
        with contextlib.suppress(OSError):  # without a cache it is read every time
            write_json(cache_folder() / _FILE, dict([*known.items()][-_MOST:]))
    return known[key]


def _known() -> dict[str, str]:
    try:
        found = json.loads((cache_folder() / _FILE).read_text())
        return {str(key): str(value) for key, value in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
