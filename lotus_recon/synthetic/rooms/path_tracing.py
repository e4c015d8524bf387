"""Photos of rooms by path tracing (Mitsuba 3), denoised with Intel Open Image Denoise where that is installed.

Border rules, each with a test. Mitsuba's camera looks along +z with x to the LEFT and y up; its principal point offset
is a share of the film. Its bitmaps have v down, ours have v up.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.synthetic.rooms.colors import linear_rgb
from lotus_recon.synthetic.rooms.denoising import Image, load_denoiser
from lotus_recon.synthetic.rooms.renderers import RoomView
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.synthetic.rooms.truth import room_surfaces, true_geometry

log = logging.getLogger(__name__)

VARIANTS = ("llvm_ad_rgb", "scalar_rgb")  # the fast one, and the one that needs no LLVM library

_SAMPLES, _SAMPLES_UNDENOISED = 8, 128
_MAX_DEPTH = 6  # path vertices after the camera
# Russian roulette from here on: half the time of tracing every path to its end, for slightly more noise.
_ROULETTE_DEPTH = 3
_LEAST_ALPHA = 0.01  # sharper mirrors give more noise than 8 samples can show
_LARGEST_SKEW = 1e-4  # relative difference of fx and fy that is taken for rounding
_MITSUBA_FROM_CV = np.diag([-1.0, -1.0, 1.0, 1.0])


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
        self._scene = self._mi.load_dict(
            {"type": "scene", **{f"part{i:04d}": _shape(self._mi, part) for i, part in enumerate(room.parts)}}
        )
        self._light = self._mi.load_dict({"type": "path", "max_depth": _MAX_DEPTH, "rr_depth": _ROULETTE_DEPTH})
        # On its own: around the path integrator it would trace all paths a second time.
        self._guides = self._mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        self._brightest = max((max(part.material.emission) for part in room.parts), default=0.0)

    def render(self, shot: Shot, seed: int) -> RoomView:
        """One shot. Bit-identical for the same room, shot and seed as long as the number of threads is the same."""
        truth = true_geometry(self._room, self._surfaces, shot)
        return RoomView(self._radiance(shot, seed), truth.depth, truth.normals, truth.sky)

    def _radiance(self, shot: Shot, seed: int) -> Image:
        sensor = self._mi.load_dict(sensor_of(self._mi, shot))
        # Nothing can be brighter than the brightest source: what is, is noise.
        noisy = np.clip(self._rendered(self._light, sensor, seed), 0, self._brightest)
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


def _set_threads(count: int) -> None:
    import drjit

    drjit.set_thread_count(count)


def sensor_of(mi: Any, shot: Shot) -> dict[str, Any]:
    """Mitsuba's description of the camera of a shot. Raises InputError for pixels that are not square."""
    camera = shot.camera
    if abs(camera.fx / camera.fy - 1) > _LARGEST_SKEW:
        raise InputError(f"focal lengths {camera.fx} and {camera.fy} px: Mitsuba needs square pixels")
    world_from_mitsuba = invert_rigid(shot.cam_from_world) @ _MITSUBA_FROM_CV
    return {
        "type": "perspective",
        "to_world": mi.ScalarTransform4f(world_from_mitsuba),
        "fov": float(np.degrees(2 * np.arctan(camera.width / (2 * camera.fx)))),
        "fov_axis": "x",
        "principal_point_offset_x": 0.5 - camera.cx / camera.width,
        "principal_point_offset_y": 0.5 - camera.cy / camera.height,
        "near_clip": 0.01,
        "far_clip": 1000.0,
        "sampler": {"type": "independent"},
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "pixel_format": "rgb",
            "component_format": "float32",
            "rfilter": {"type": "box"},
        },
    }


def _shape(mi: Any, part: Part) -> Any:
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(_bsdf(mi, part.material))
    if part.material.shines:
        props["emitter"] = mi.load_dict({"type": "area", "radiance": _emission(mi, part.material)})
    mesh = part.mesh
    assert mesh.normals is not None  # checked by Part
    uv = np.zeros((len(mesh.vertices), 2), np.float32) if part.uv is None else part.uv
    shape = mi.Mesh(
        part.name, len(mesh.vertices), len(mesh.triangles), props, has_vertex_normals=True, has_vertex_texcoords=True
    )
    values = mi.traverse(shape)
    values["vertex_positions"] = np.ravel(mesh.vertices)
    values["vertex_normals"] = np.ravel(mesh.normals)
    values["vertex_texcoords"] = np.ravel(uv).astype(np.float32)
    values["faces"] = np.ravel(mesh.triangles).astype(np.uint32)
    values.update()
    return shape


def _bsdf(mi: Any, material: Material) -> dict[str, Any]:
    """One of three kinds with the same kinds of texture inside: more kinds would mean more kernels to compile."""
    color = _reflectance(mi, material)
    alpha = max(material.roughness**2, _LEAST_ALPHA)
    inner: dict[str, Any] = {"type": "diffuse", "reflectance": color}
    if material.metal:
        inner = {"type": "roughconductor", "material": "none", "specular_reflectance": color, "alpha": alpha}
    elif material.gloss > 0:
        coat = {"type": "rgb", "value": material.gloss}
        inner = {"type": "roughplastic", "diffuse_reflectance": color, "specular_reflectance": coat, "alpha": alpha}
    return {"type": "twosided", "bsdf": inner}


def _reflectance(mi: Any, material: Material) -> dict[str, Any]:
    if material.texture is None:
        return _texture(mi, np.array(material.color, np.float32).reshape(1, 1, 3), linear=True)
    return _texture(mi, material.texture, linear=False)


def _emission(mi: Any, material: Material) -> dict[str, Any]:
    if material.texture is None:
        return {"type": "rgb", "value": list(material.emission)}
    return _texture(mi, linear_rgb(material.texture) * np.array(material.emission, np.float32), linear=True)


def _texture(mi: Any, bitmap: NDArray[Any], linear: bool) -> dict[str, Any]:
    return {"type": "bitmap", "bitmap": mi.Bitmap(np.ascontiguousarray(bitmap[::-1])), "raw": linear}
