"""The export targets. A new one is a file here with its ``Target``, and its name in ``TARGETS``."""

from __future__ import annotations

from lotus_recon.config import did_you_mean
from lotus_recon.errors import InputError
from lotus_recon.exporting.targets.base import Target
from lotus_recon.exporting.targets.colmap import COLMAP

TARGETS: tuple[Target, ...] = (COLMAP,)


def targets_named(text: str | None, option: str = "--export") -> tuple[Target, ...]:
    """The targets in a list with commas, in the order of ``TARGETS``. Raises InputError with the known names."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    known = [target.name for target in TARGETS]
    if text is not None and not names:
        raise InputError(f"{option} {text!r} names no target; allowed: {', '.join(known)}, with commas between them")
    for name in names:
        if name not in known:
            raise InputError(
                f"{option} {text}: {name!r} is no target{did_you_mean(name, known)}; allowed: {', '.join(known)}"
            )
    return tuple(target for target in TARGETS if target.name in names)
