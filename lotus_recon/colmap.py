"""pycolmap, imported in one place: after Pillow, and without the signal handlers that it installs."""

from __future__ import annotations

import PIL.Image  # noqa: F401  pycolmap before Pillow aborts the process when a PNG is saved later

from lotus_recon.interruption import handlers_kept

# Else SIGTERM is answered by the stack of the process, and nothing of ours runs.
with handlers_kept():
    import pycolmap

# It writes log lines of its own to stderr; what matters is said by our errors and warnings.
pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)

__all__ = ["pycolmap"]
