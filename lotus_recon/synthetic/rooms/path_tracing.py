"""Photos of rooms by path tracing (Mitsuba 3), denoised with Intel Open Image Denoise where that is installed."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.synthetic.rooms.denoising import Image, load_denoiser
from lotus_recon.synthetic.rooms.mitsuba_scene import path_integrator, scene_of, sensor_of
from lotus_recon.synthetic.rooms.mitsuba_variant import LIBRARY_VARIABLE, best_variant
from lotus_recon.synthetic.rooms.openings import SUN, SUNLIT_SHARE
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry
from lotus_recon.synthetic.rooms.view import RoomView

log = logging.getLogger(__name__)

_SAMPLES, _SAMPLES_UNDENOISED = 8, 128


class PathTracer:
    """Path traces one room."""

    name = "mitsuba"

    def __init__(self, room: Room, samples: int | None = None, threads: int = 0, denoise: bool = True) -> None:
        """``samples`` per pixel; ``threads`` of this process, 0 for all cores."""
        self._mi = load_mitsuba()
        if threads:
            _set_threads(threads)
        self._denoise = load_denoiser(threads) if denoise else None
        self._samples = samples or (_SAMPLES if self._denoise else _SAMPLES_UNDENOISED)
        self._room, self._surfaces = room, room_surfaces(room, threads)
        self._scene = scene_of(self._mi, room)
        self._light = path_integrator(self._mi)
        # On its own: around the path integrator it would trace all paths a second time.
        self._guides = self._mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        self._brightest = _brightest(room)

    def render(self, shot: Shot, seed: int) -> RoomView:
        """One shot. Bit-identical for the same room, shot and seed as long as the number of threads is the same."""
        truth = true_geometry(self._room, self._surfaces, shot)
        return RoomView(self._radiance(shot, seed), truth.depth, truth.normals, truth.sky)

    def _radiance(self, shot: Shot, seed: int) -> Image:
        sensor = self._mi.load_dict(sensor_of(self._mi, shot))
        # Hardly anything is brighter than the brightest surface, even one that reflects light too: the rest is noise.
        noisy = np.clip(self._rendered(self._light, sensor, seed), 0, 2 * self._brightest)
        if self._denoise is None:
            return noisy
        guides = self._rendered(self._guides, sensor, seed)
        return self._denoise(noisy, np.clip(guides[..., :3], 0, 1), guides[..., 3:6])

    def _rendered(self, integrator: Any, sensor: Any, seed: int) -> NDArray[np.float32]:
        """(H, W, channels) of an integrator."""
        image = self._mi.render(self._scene, sensor=sensor, integrator=integrator, spp=self._samples, seed=seed % 2**32)
        return np.array(image, np.float32)


@functools.lru_cache(maxsize=1)
def load_mitsuba() -> Any:
    """Mitsuba with the fastest variant that runs here. Raises InputError when it is not installed or cannot run."""
    variant = best_variant()
    if variant.drawback is not None:
        log.info(variant.drawback)
    if variant.library is not None:
        os.environ[LIBRARY_VARIABLE] = str(variant.library)
    import mitsuba

    mitsuba.set_variant(variant.name)
    return mitsuba


def _brightest(room: Room) -> float:
    """Radiance of the brightest surface on its own; of a sun what it lights counts, since cameras do not look at it."""
    materials = [part.material for part in room.parts]
    return max((max(m.emission) * (SUNLIT_SHARE if m.name == SUN else 1.0) for m in materials), default=0.0)


def _set_threads(count: int) -> None:
    import drjit

    drjit.set_thread_count(count)
