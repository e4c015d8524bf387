"""Fewer parts with the same surfaces."""

from __future__ import annotations

import numpy as np

from lotus_recon.io.srgb import linear_of_bytes
from lotus_recon.synthetic.rooms.merging import SHELL, merged_parts
from lotus_recon.synthetic.rooms.scene import Material, Part
from lotus_recon.synthetic.rooms.solids import box_between


def test_merged_parts_keep_surfaces_and_colors() -> None:
    mesh = box_between((0, 0, 0), (1, 1, 1))
    colors = [(0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)]
    parts = [Part(f"p{i}", mesh, Material("m", color)) for i, color in enumerate(colors)]
    lamp = Part("lamp", mesh, Material("glow", emission=(1.0, 1.0, 1.0)))
    shell, things, shining = sorted(merged_parts(parts[:1], [*parts[1:], lamp]), key=lambda part: part.name != SHELL)[
        :3
    ]
    things, shining = sorted((things, shining), key=lambda part: part.material.shines)
    assert shining is lamp
    assert len(shell.mesh.triangles) == 12
    assert len(things.mesh.triangles) == 24
    texture, uv = things.material.texture, things.uv
    assert texture is not None
    assert uv is not None
    for start, color in ((0, colors[1]), (24, colors[2])):
        u, v = uv[start]
        row, column = int((1 - v) * texture.shape[0]), int(u * texture.shape[1])
        np.testing.assert_allclose(linear_of_bytes(texture[row, column]), color, atol=0.01)
