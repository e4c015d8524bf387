"""Where the program keeps what it would otherwise compute again in every run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The project's own cache: ``LOTUS_RECON_CACHE``, else ~/.cache/lotus_recon.

    Of a user without a home folder it is a path that nobody can write, which is how a cache is left out.
    """
    try:
        return Path(os.environ.get("LOTUS_RECON_CACHE") or "~/.cache/lotus_recon").expanduser()
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return Path(os.devnull)
