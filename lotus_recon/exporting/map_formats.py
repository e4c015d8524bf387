"""The formats of ``--maps``. Imports no library."""

from __future__ import annotations

from lotus_recon import native
from lotus_recon.config import did_you_mean
from lotus_recon.errors import InputError

NPZ, PNG16, EXR = "npz", "png16", "exr"
FORMATS = (NPZ, PNG16, EXR)


def extra_formats(text: str) -> tuple[str, ...]:
    """The formats in a list with commas that are written besides npz. Raises InputError for another name, or none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    allowed = f"allowed: {', '.join(FORMATS)}, with commas between them"
    if not names:
        raise InputError(f"--maps {text!r} names no format; {allowed}")
    for name in names:
        if name not in FORMATS:
            raise InputError(f"--maps {text}: {name!r} is no format{did_you_mean(name, list(FORMATS))}; {allowed}")
    return tuple(name for name in FORMATS if name in names and name != NPZ)


def check_formats(text: str) -> None:
    """Raise InputError for formats that are unknown, or need a library that is not installed."""
    if EXR in extra_formats(text):
        native.require(("OpenEXR",))
