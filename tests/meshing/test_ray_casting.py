"""A mesh before what photos surely show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.meshing.ray_casting import blocked_ratio
from lotus_recon.synthetic.shapes import joined, panel
from lotus_recon.types import Camera, DepthKind, DepthMap, Mesh, View

CAMERA = Camera(80, 60, 60, 60, 40, 30)
VIEW = View("a.png", CAMERA, np.eye(4))


def at(depth: float, left: float = -10) -> Mesh:
    """A wall across the view, right of x = ``left``."""
    wall = panel(20, 20)
    assert wall.normals is not None
    return Mesh(
        (wall.vertices + np.array([left + 10, 0, depth])).astype(np.float32), wall.triangles, normals=wall.normals
    )


def maps(folder: Path, confidence: float) -> SceneMaps:
    depth = DepthMap(np.full((60, 80), 4.0, np.float32), np.ones((60, 80), bool), DepthKind.SCENE)
    SceneMaps(folder).save(VIEW, depth, np.full((60, 80), confidence, np.float32))
    return SceneMaps(folder)


@pytest.mark.parametrize(("mesh", "expected"), [(at(4), 0.0), (at(5), 0.0), (joined([at(4), at(2, left=0)]), 0.5)])
def test_rays_that_meet_the_mesh_too_early_are_blocked(tmp_path: Path, mesh: Mesh, expected: float) -> None:
    assert blocked_ratio(mesh, [VIEW], maps(tmp_path, 1.0)) == pytest.approx(expected, abs=0.02)


def test_depth_that_is_not_sure_proves_nothing(tmp_path: Path) -> None:
    assert blocked_ratio(at(2), [VIEW], maps(tmp_path, 0.4)) == 0
