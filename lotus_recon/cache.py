"""Where the program keeps what it would otherwise compute again in every run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The project's own cache: ``LOTUS_RECON_CACHE``, else ~/.cache/lotus_recon."""
    return Path(os.environ.get("LOTUS_RECON_CACHE") or "~/.cache/lotus_recon").expanduser()
