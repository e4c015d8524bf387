"""Merges parts of the same surface, because the cost of rendering grows with the number of parts.

Plain colours become patches of one texture, so that all matte things of a room are one part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.io.srgb import srgb_of_linear
from lotus_recon.synthetic.rooms.scene import Material, Part
from lotus_recon.synthetic.shapes import joined

SHELL = "shell"  # name of what the room itself is made of
THINGS = "things"
_PATCH_PX = 4  # so that neighbours do not show when a renderer interpolates
_PER_ROW = 64
_GLOSS = (0.0, 0.3, 0.6, 1.0)
_ROUGHNESS = (0.03, 0.1, 0.2, 0.3, 0.45)

_Key = tuple[str, int, bool, float, float, bool]


def merged_parts(shell: Iterable[Part], things: Iterable[Part]) -> tuple[Part, ...]:
    """The same surfaces in fewer parts; what shines stays as it is.

    Gloss and roughness are rounded to a few values and plain colours to 8 bits.
    """
    parts: list[Part] = []
    for name, group in ((SHELL, shell), (THINGS, things)):
        alike: dict[_Key, list[Part]] = {}
        for part in group:
            if part.material.shines or part.is_sky:
                parts.append(part)
            else:
                alike.setdefault(_key(name, part.material), []).append(part)
        parts += [_merged(key, members) for key, members in alike.items()]
    return tuple(parts)


def _key(name: str, material: Material) -> _Key:
    gloss, roughness = _nearest(material.gloss, _GLOSS), _nearest(material.roughness, _ROUGHNESS)
    if gloss == 0 and not material.metal:
        roughness = _ROUGHNESS[-1]  # matter for coats and metals only
    texture = 0 if material.texture is None else id(material.texture)
    return name, texture, material.metal, gloss, roughness, material.texture is None


def _nearest(value: float, allowed: Sequence[float]) -> float:
    return min(allowed, key=lambda other: abs(other - value))


def _merged(key: _Key, members: list[Part]) -> Part:
    name, _, metal, gloss, roughness, plain = key
    texture, uvs = _patches(members) if plain else (members[0].material.texture, [part.uv for part in members])
    material = Material(name, texture=texture, gloss=gloss, roughness=roughness, metal=metal)
    uv = np.concatenate([uv for uv in uvs if uv is not None])
    return Part(name, joined([part.mesh for part in members]), material, uv)


def _patches(members: list[Part]) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]]]:
    """A texture with a patch for every colour, and where on it each part lies."""
    linear = np.array([part.material.color for part in members], np.float32)
    colors, index = np.unique(np.round(255 * srgb_of_linear(linear)).astype(np.uint8), axis=0, return_inverse=True)
    rows = -(-len(colors) // _PER_ROW)
    columns = min(len(colors), _PER_ROW)
    grid = np.zeros((rows * columns, 3), np.uint8)
    grid[: len(colors)] = colors
    patches = grid.reshape(rows, columns, 3).repeat(_PATCH_PX, axis=0).repeat(_PATCH_PX, axis=1)
    uvs = []
    for part, patch in zip(members, np.ravel(index), strict=True):
        row, column = divmod(int(patch), columns)
        place = ((column + 0.5) / columns, 1 - (row + 0.5) / rows)  # v runs up
        uvs.append(np.full((len(part.mesh.vertices), 2), place, np.float32))
    return patches, uvs
