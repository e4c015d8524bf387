"""Simple solids."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.shapes import rounded_box


def test_a_rounded_box_is_closed_and_round() -> None:
    mesh = rounded_box((-1, -2, 0), (1, 2, 1), 0.25)
    assert mesh.normals is not None
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [2, 4, 1], atol=1e-6)
    corners = mesh.vertices[mesh.triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((faces * mesh.normals[mesh.triangles].mean(1)).sum(-1) >= -1e-9).all()
    volume = (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    # A box grown by a ball (Steiner): volume, area times radius, edges times a quarter circle, the ball itself.
    w, d, h, r = 1.5, 3.5, 0.5, 0.25
    exact = w * d * h + 2 * (w * d + d * h + h * w) * r + np.pi * r**2 * (w + d + h) + 4 / 3 * np.pi * r**3
    assert volume == pytest.approx(exact, rel=5e-3)
