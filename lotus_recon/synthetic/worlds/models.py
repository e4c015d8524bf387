"""Model files of others as parts to render: scaled, smoothed, cut out."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import linear_of_srgb
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.smoothing import corner_normals, without_repeats
from lotus_recon.synthetic.worlds.cutting_out import cut_out, is_cut_out
from lotus_recon.synthetic.worlds.model_files import ModelFile, Surface

_SMOOTH_BELOW_DEG = 35.0
_LEVEL = 0.9  # cosine of the slope
_GLASS = 0.6  # opacity below which a surface without a picture is glass: dark here
_GLASS_COLOR = (0.02, 0.025, 0.03)


def parts_of(model: ModelFile, within: tuple[NDArray[np.float64], float] | None = None) -> tuple[ModelPart, ...]:
    """The surfaces of a model, one part per picture or colour, in the file's unit.

    ``within``: only triangles whose middle lies within a distance (file's unit) of a point (3,), seen from above.
    """
    alike: dict[tuple[object, ...], list[Surface]] = defaultdict(list)
    for surface in model.surfaces:
        key = (surface.texture,) if surface.texture >= 0 else (-1, surface.color, surface.opacity < _GLASS)
        alike[key].append(surface)
    parts = [_part(model, surfaces, within) for surfaces in alike.values()]
    return tuple(part for part in parts if part is not None)


def _part(
    model: ModelFile, surfaces: list[Surface], within: tuple[NDArray[np.float64], float] | None
) -> ModelPart | None:
    points = np.concatenate([surface.points for surface in surfaces])
    uv = np.concatenate([surface.uv for surface in surfaces])
    if within is not None:
        near = np.linalg.norm(points.mean(1)[:, :2] - within[0][:2], axis=1) < within[1]
        points, uv = points[near], uv[near]
    first = surfaces[0]
    material = Material("plain", _linear(first.color) if first.opacity >= _GLASS else _GLASS_COLOR)
    if first.texture >= 0:
        picture = model.textures[first.texture]
        material = Material("painted", texture=np.ascontiguousarray(picture[..., :3]))
        if is_cut_out(picture):
            material = Material("cut-out", texture=_spread(picture), fine=True)
            points, uv = _cut_out_upright(points, uv, picture[..., 3])
    size = np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=-1)
    points, uv = points[size > 1e-10], uv[size > 1e-10]
    if not len(points):
        return None
    normals = corner_normals(points.astype(np.float64), _SMOOTH_BELOW_DEG)
    mesh, corner_uv = without_repeats(points, normals, uv if material.texture is not None else None)
    return ModelPart(mesh, material, corner_uv)


def _cut_out_upright(
    points: NDArray[np.float32], uv: NDArray[np.float32], opacity: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is left of triangles; level ones stay whole: in the opacity of roads and lawns games keep something else."""
    across = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    level = np.abs(across[:, 2]) > _LEVEL * np.linalg.norm(across, axis=-1)
    left, left_uv = cut_out(points[~level], uv[~level], opacity)
    return np.concatenate([points[level], left]), np.concatenate([uv[level], left_uv])


def _spread(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours of a picture (h, w, 4) with holes: the holes take the mean colour, which fringes then show."""
    solid = picture[..., 3] >= 128
    color = picture[..., :3].copy()
    if solid.any():
        color[~solid] = color[solid].mean(0).astype(np.uint8)
    return color


def _linear(color: tuple[float, float, float]) -> tuple[float, float, float]:
    r, g, b = (float(value) for value in linear_of_srgb(np.asarray(color, np.float32)))
    return r, g, b
