"""Rooms and cameras in the terms of Mitsuba 3.

Border rules, each with a test. Mitsuba's camera looks along +z with x to the LEFT and y up; its principal point offset
is a share of the film, against the axes of the image. Its bitmaps have v down; those of catalogs have v up.

Mitsuba compiles a kernel (seconds) for each new structure of a scene, and finds it again on disk for a known one. So
all rooms are given one structure: three kinds of surface, a bitmap for each shape, a round number of shapes.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.pose import invert_rigid
from lotus_recon.io.srgb import linear_of_bytes
from lotus_recon.synthetic.rooms.scene import Material, Part, Room, Shot
from lotus_recon.synthetic.shapes import joined
from lotus_recon.types import Mesh

_LEAST_ALPHA = 0.01  # sharper mirrors give more noise than a few samples can show
_LARGEST_SKEW = 1e-4  # relative difference of fx and fy that is taken for rounding
_MITSUBA_FROM_CV = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_DEPTH = 6  # path vertices after the camera
# Russian roulette from here on: half the time of tracing every path to its end, for slightly more noise.
_ROULETTE_DEPTH = 3
# The kernel depends on the number of shapes and on the size of bitmaps that shine.
_SHAPES = 64  # rooms have a multiple of this
_SHINING_SIDE = 512
_MATTE, _COATED, _METAL = Material("matte"), Material("coated", gloss=0.5), Material("metal", metal=True)


def scene_of(mi: Any, room: Room) -> Any:
    """The Mitsuba scene of a room: one shape per material, filled up with shapes without area."""
    gc.collect()  # rooms that are done with still count, and would make the number of shapes odd
    parts = defaultdict(list)
    for part in room.parts:
        parts[id(part.material)].append(part)
    shapes = [_shape(mi, same) for same in parts.values()]
    shapes += [_filler(mi, room, kind) for kind in (_MATTE, _COATED, _METAL)]
    # Matte ones for the rest: Mitsuba takes 0.05 s to tabulate a coat.
    shapes += [_filler(mi, room, _MATTE) for _ in range(-len(shapes) % _SHAPES)]
    return mi.load_dict({"type": "scene", **{f"shape{i:04d}": shape for i, shape in enumerate(shapes)}})


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


def path_integrator(mi: Any) -> Any:
    """What traces the light of rooms."""
    return mi.load_dict({"type": "path", "max_depth": _MAX_DEPTH, "rr_depth": _ROULETTE_DEPTH})


def _filler(mi: Any, room: Room, material: Material) -> Any:
    """A triangle without area, which no ray meets."""
    corners = np.repeat(room.parts[0].mesh.vertices[:1], 3, axis=0)
    upwards = np.tile(np.array([[0, 0, 1]], np.float32), (3, 1))
    mesh = Mesh(corners, np.array([[0, 1, 2]], np.int32), normals=upwards)
    return _shape(mi, [Part("filler", mesh, material)])


def _shape(mi: Any, parts: list[Part]) -> Any:
    """Parts of one material as one Mitsuba mesh."""
    material = parts[0].material
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(_bsdf(mi, material))
    if material.shines:
        props["emitter"] = mi.load_dict({"type": "area", "radiance": _emission(mi, material)})
    mesh = joined([part.mesh for part in parts])
    uv = np.concatenate([np.zeros((len(p.mesh.vertices), 2)) if p.uv is None else p.uv for p in parts])
    has = {"has_vertex_normals": True, "has_vertex_texcoords": True}
    shape = mi.Mesh(material.name, len(mesh.vertices), len(mesh.triangles), props, **has)
    assert mesh.normals is not None  # checked by Part
    values = mi.traverse(shape)
    values["vertex_positions"] = np.ravel(mesh.vertices)
    values["vertex_normals"] = np.ravel(mesh.normals)
    values["vertex_texcoords"] = np.ravel(uv).astype(np.float32)
    values["faces"] = np.ravel(mesh.triangles).astype(np.uint32)
    values.update()
    return shape


def _bsdf(mi: Any, material: Material) -> dict[str, Any]:
    color = _reflectance(mi, material)
    alpha = max(material.roughness**2, _LEAST_ALPHA)
    inner: dict[str, Any] = {"type": "diffuse", "reflectance": color}
    if material.metal:
        inner = {"type": "roughconductor", "material": "none", "specular_reflectance": color, "alpha": alpha}
    elif material.gloss > 0:
        coat = {"type": "rgb", "value": material.gloss}
        inner = {"type": "roughplastic", "diffuse_reflectance": color, "specular_reflectance": coat, "alpha": alpha}
    return {"type": "twosided", "bsdf": inner}


def _reflectance(mi: Any, material: Material) -> Any:
    if material.texture is None:
        return _bitmap(mi, np.array(material.color, np.float32).reshape(1, 1, 3))
    return _bitmap(mi, linear_of_bytes(material.texture))


def _emission(mi: Any, material: Material) -> Any:
    if material.texture is None:
        return {"type": "rgb", "value": list(material.emission)}
    side = (_SHINING_SIDE, _SHINING_SIDE)
    resized = cv2.resize(linear_of_bytes(material.texture), side, interpolation=cv2.INTER_LINEAR)
    return _bitmap(mi, np.asarray(resized * np.array(material.emission), np.float32))


def _bitmap(mi: Any, linear: NDArray[np.float32]) -> Any:
    """A texture of linear values (h, w, 3), first row at the top."""
    image = mi.Bitmap(np.ascontiguousarray(linear[::-1]))
    return mi.load_dict({"type": "bitmap", "bitmap": image, "raw": True})
