"""Photos of rooms by path tracing (Mitsuba 3), denoised with Intel Open Image Denoise where that is installed."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.denoising import Image, load_denoiser
from lotus_recon.synthetic.rooms.mitsuba_scene import scene_of, sensor_of
from lotus_recon.synthetic.rooms.openings import SUN, SUNLIT_SHARE
from lotus_recon.synthetic.rooms.renderers import RoomView
from lotus_recon.synthetic.rooms.scene import Room, Shot
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry

log = logging.getLogger(__name__)

VARIANTS = ("llvm_ad_rgb", "scalar_rgb")  # the fast one, and the one that needs no LLVM library

_SAMPLES, _SAMPLES_UNDENOISED = 8, 128
_MAX_DEPTH = 6  # path vertices after the camera
# Russian roulette from here on: half the time of tracing every path to its end, for slightly more noise.
_ROULETTE_DEPTH = 3


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
        self._light = self._mi.load_dict({"type": "path", "max_depth": _MAX_DEPTH, "rr_depth": _ROULETTE_DEPTH})
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
    """Mitsuba with the fastest variant that runs here. Raises InputError when it is not installed."""
    try:
        import mitsuba
    except ImportError as error:
        raise InputError("Mitsuba is not installed: pip install 'lotus-recon[train]'") from error
    for variant in VARIANTS:
        try:
            mitsuba.set_variant(variant)
            mitsuba.load_dict({"type": "sphere"})  # only building something shows that LLVM is missing
        except (ImportError, RuntimeError) as error:
            log.warning("Mitsuba's %s does not run here (%s): the next variant is far slower", variant, error)
        else:
            return mitsuba
    raise InputError(f"none of Mitsuba's variants {', '.join(VARIANTS)} runs here")


def _brightest(room: Room) -> float:
    """Radiance of the brightest surface on its own; of a sun what it lights counts, since cameras do not look at it."""
    materials = [part.material for part in room.parts]
    return max((max(m.emission) * (SUNLIT_SHARE if m.name == SUN else 1.0) for m in materials), default=0.0)


def _set_threads(count: int) -> None:
    import drjit

    drjit.set_thread_count(count)
