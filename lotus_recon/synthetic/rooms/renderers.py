"""One small interface for all that takes photos of rooms."""

from __future__ import annotations

import importlib.util
import logging
from typing import Protocol

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.mitsuba_variant import best_variant
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.view import RoomView

log = logging.getLogger(__name__)

NAMES = ("auto", "mitsuba", "raycast")


class RoomRenderer(Protocol):
    """Takes photos of one room."""

    @property
    def name(self) -> str:
        """How ``make_renderer`` calls it."""
        ...

    def render(self, shot: Shot, seed: int) -> RoomView:
        """One shot; the same shot and seed give the same view."""
        ...


def make_renderer(name: str, room: Room, samples: int | None = None, threads: int = 0) -> RoomRenderer:
    """The renderer ``name`` for a room.

    ``samples`` per pixel: None takes the renderer's own default. ``threads``: 0 uses all cores; with Mitsuba the number
    holds for the whole process. Raises InputError for an unknown name and when a library is missing.
    """
    if samples is not None and samples < 1:
        raise InputError(f"{samples} samples per pixel; allowed: 1 or more")
    if resolved_renderer(name) == "raycast":
        from lotus_recon.synthetic.rooms.ray_casting import RayCaster

        return RayCaster(room, samples, threads)
    from lotus_recon.synthetic.rooms.path_tracing import PathTracer

    return PathTracer(room, samples, threads)


def resolved_renderer(name: str) -> str:
    """The name of the renderer that ``name`` stands for: 'auto' is Mitsuba where it is installed and runs.

    Raises InputError for an unknown name, and for a Mitsuba that is wanted and cannot run.
    """
    if name not in NAMES:
        raise InputError(f"unknown renderer {name!r}; allowed: {', '.join(NAMES)}")
    if name == "raycast":
        return name
    if importlib.util.find_spec("mitsuba") is None:
        if name == "mitsuba":
            raise InputError("'mitsuba' is not installed: pip install 'lotus-recon[train]', or use 'raycast'")
        return "raycast"
    try:
        best_variant()
    except InputError as error:
        if name == "mitsuba":
            raise
        log.warning("rooms are rendered with 'raycast': %s", error)
        return "raycast"
    return "mitsuba"


def warn_of_slow_renderer(name: str) -> None:
    """Say so when a resolved renderer cannot use its fast variant on this machine."""
    drawback = best_variant().drawback if name == "mitsuba" else None
    if drawback is not None:
        log.warning(drawback)
