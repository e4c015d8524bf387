"""The mesh stage: cleaned and simplified files that agree with their figures, the right way up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from lotus_recon.errors import InputError
from lotus_recon.fusion import stage as fusion
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.meshing import stage
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.types import View
from tests.fusion import scenes


def test_files_and_figures_agree(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=8)
    fused = fusion.run(inputs, FusionConfig(), tmp_path)
    out = tmp_path / "mesh"
    out.mkdir()
    result = stage.run(
        stage.Inputs(inputs.scene, fused.mesh_path, inputs.depth_dir), MeshConfig(max_triangles=3000), out
    )
    mesh = read_mesh(result.mesh_path)
    figures = stage.MeshResult.load(out).figures
    assert figures == result.figures
    assert figures["triangles"] == len(mesh.triangles) <= 3000 < fused.figures["triangles"]
    assert figures["vertices"] == len(mesh.vertices)
    np.testing.assert_allclose(figures["bounding_box"], [mesh.vertices.min(0), mesh.vertices.max(0)])
    assert abs(np.median(np.linalg.norm(mesh.vertices, axis=1)) - 1) < 0.02
    assert set(figures["seconds"]) == {"cleaning", "writing"}
    assert figures["blocked_ratio"] < 0.01
    assert figures["seen_ratio"] == 1  # every view is fully confident
    assert mesh.confidence is not None
    assert (mesh.confidence == 1).all()
    assert mesh.sigma is None, "nothing says it"
    assert len(trimesh.load_mesh(result.glb_path, process=False).faces) == figures["triangles"]
    assert str(tmp_path) not in json.dumps(figures)


def test_the_file_has_the_error_of_every_vertex(tmp_path: Path) -> None:
    """A sphere of radius 1 seen from 3 radii away: its depth is from 2 to 3, and known to 2 %."""
    inputs = scenes.sphere(tmp_path, n_views=8)
    sigmas = SceneMaps(tmp_path / "uncertainty")
    for view in inputs.scene.views:
        sigmas.save(view, sigma=np.where(scenes.sphere_depth(view, 1) > 0, 0.02, 0))
    fused = fusion.run(inputs, FusionConfig(), tmp_path)
    (tmp_path / "mesh").mkdir()
    own = stage.Inputs(
        inputs.scene, fused.mesh_path, inputs.depth_dir, sigma_dir=sigmas.folder, truncation=fused.figures["truncation"]
    )
    mesh = read_mesh(stage.run(own, MeshConfig(), tmp_path / "mesh").mesh_path)
    assert mesh.sigma is not None
    assert np.isfinite(mesh.sigma).mean() > 0.99
    assert 0.04 * 0.99 < np.nanmin(mesh.sigma) < np.nanmax(mesh.sigma) < 0.06 * 1.01


def test_result_of_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mesh\.json is not a readable result"):
        stage.MeshResult.load(tmp_path)


def test_up_of_the_cameras_is_up_in_the_viewer(tmp_path: Path) -> None:
    """World axes are turned wildly; glTF must see y as the cameras' up and the cameras on the +z side."""
    turn = scenes.looking_at_origin(np.array([1.0, 2.0, 3.0]))[:3, :3]
    pose = np.eye(4)
    pose[:3, :3] = turn
    views = [View("a.png", scenes.plane_view("a.png").camera, pose)]
    gltf_from_world = stage.gltf_from_views(tuple(views))
    up_in_world, back_in_world = -turn[1], -turn[2]
    np.testing.assert_allclose(gltf_from_world @ up_in_world, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(gltf_from_world @ back_in_world, [0, 0, 1], atol=1e-12)
    opposite = np.eye(4)
    opposite[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn
    both = (views[0], View("b.png", views[0].camera, opposite))
    np.testing.assert_allclose(stage.gltf_from_views(both) @ up_in_world, [0, 1, 0], atol=1e-12)
