"""Areas and turns of solids."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.solids import lying, moved, slabs, triangle_areas, turned_pose


def test_areas_of_a_box_and_of_its_shadow() -> None:
    box = slabs((0, 0, 0, 1, 2, 3))
    assert triangle_areas(box).sum() == pytest.approx(2 * (1 * 2 + 2 * 3 + 3 * 1))
    assert triangle_areas(box, seen_along=2).sum() == pytest.approx(2 * 1 * 2)  # top and bottom


@pytest.mark.parametrize(("axis", "goes_to"), [(0, (1, -3, 2)), (1, (3, 2, -1)), (2, (-2, 1, 3))])
def test_a_quarter_turn(axis: int, goes_to: tuple[float, float, float]) -> None:
    pose = turned_pose(10, 20, 30, np.pi / 2, axis)
    assert pose @ [1, 2, 3, 1] == pytest.approx([10 + goes_to[0], 20 + goes_to[1], 30 + goes_to[2], 1])
    assert np.linalg.det(pose) == pytest.approx(1)


def test_normals_turn_with_their_mesh() -> None:
    box = slabs((0, 0, 0, 1, 2, 3))
    for mesh in (lying(box), moved(box, turned_pose(1, 2, 3, 0.3, axis=1), scale=2.0)):
        assert mesh.normals is not None
        corners = mesh.vertices[mesh.triangles].astype(np.float64)
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        assert faces == pytest.approx(mesh.normals[mesh.triangles[:, 0]], abs=1e-6)
