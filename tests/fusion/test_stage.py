"""The stage as a whole: files, figures, repeatability; and the registry of backends."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import trimesh
from lotus_recon.fusion.registry import BACKENDS, get_backend

from lotus_recon.config import Runtime
from lotus_recon.errors import FusionError, InputError
from lotus_recon.fusion import stage
from lotus_recon.fusion.config import FusionConfig, FusionName
from lotus_recon.fusion.views import FusionViews
from lotus_recon.io.meshes import read_mesh
from lotus_recon.meshing.config import MeshConfig
from lotus_recon.types import View
from tests.fusion import scenes

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys
from dataclasses import replace
from pathlib import Path
from lotus_recon.config import Runtime
from lotus_recon.fusion import stage
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.meshing.config import MeshConfig
from tests.fusion import scenes
root = Path(sys.argv[1])
scene, runtime = scenes.sphere(root, n_views=6).scene, Runtime(deterministic=True)
inputs = stage.Inputs(scene, root / "depth", root / "images", runtime)
for weighted in (False, True):
    if weighted:
        for view in inputs.scene.views:
            depth = scenes.sphere_depth(view, 1.0)
            scenes.write_view(root, view, depth, 0.2 + 0.1 * depth / depth.max())
    out = root / f"out-{weighted}"
    out.mkdir()
    mesh = MeshConfig(max_triangles=5000 if weighted else None)
    stage.run(replace(inputs, mesh=mesh), FusionConfig(), out)
"""


def test_separate_runs_write_the_same_bytes(tmp_path: Path) -> None:
    """Counted and weighted; the hash table and the threads of Open3D give another order in each process."""
    roots = [tmp_path / name for name in ("a", "b")]
    runs = [subprocess.Popen([sys.executable, "-c", RUN, str(root)], cwd=ROOT) for root in roots]
    assert [run.wait() for run in runs] == [0, 0]
    for folder in ("out-False", "out-True"):
        for name in (stage.MESH_FILE, stage.GLB_FILE):
            first, second = ((root / folder / name).read_bytes() for root in roots)
            assert len(first) > 10_000
            assert first == second


def test_files_and_figures_agree(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=8)
    result = stage.run(dataclasses.replace(inputs, mesh=MeshConfig(max_triangles=3000)), FusionConfig(), tmp_path)
    mesh = read_mesh(result.mesh_path)
    figures = stage.FusionResult.load(tmp_path).figures
    assert figures == result.figures
    assert figures["triangles"] == len(mesh.triangles) <= 3000
    assert figures["vertices"] == len(mesh.vertices)
    assert figures["views"] == 8
    assert figures["truncation"] == pytest.approx(8 * figures["voxel_size"])
    np.testing.assert_allclose(figures["bounding_box"], [mesh.vertices.min(0), mesh.vertices.max(0)])
    assert set(figures["seconds"]) == {"survey", "integration", "extraction", "cleaning", "writing"}
    assert len(trimesh.load_mesh(result.glb_path, process=False).faces) == figures["triangles"]
    assert str(tmp_path) not in json.dumps(figures)


def test_result_of_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fusion\.json is not a readable result"):
        stage.FusionResult.load(tmp_path)


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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("voxel_size", 0.0),
        ("voxel_footprints", -1.0),
        ("truncation_voxels", 0.5),
        ("memory_gb", 0.0),
    ],
)
def test_options_out_of_range_are_named(tmp_path: Path, field: str, value: float) -> None:
    changes: dict[str, Any] = {field: value}
    config = dataclasses.replace(FusionConfig(), **changes)
    with pytest.raises(InputError, match=f"--{field.replace('_', '-')} is "):
        stage.check_config(config)
    stage.check_config(FusionConfig())


def test_registry_and_option_name_the_same_backends() -> None:
    assert set(get_args(FusionName)) == set(BACKENDS)
    with pytest.raises(InputError, match="did you mean 'tsdf'"):
        get_backend("tsfd")


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_every_backend_finds_the_sphere(name: str, tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=12)
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0)
    mesh, figures = get_backend(name)(views, FusionConfig(), Runtime())
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert abs(np.median(radius) - 1) < 0.02
    assert figures["seconds"]


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_every_backend_refuses_depth_that_was_not_aligned(name: str, tmp_path: Path) -> None:
    view = scenes.plane_view("0.png")
    scenes.write_view(tmp_path, view, np.full((90, 120), 2.0), kind="AFFINE_DISPARITY")
    inputs = scenes.inputs(tmp_path, [view])
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0)
    with pytest.raises(FusionError, match=r"view '0\.png'"):
        get_backend(name)(views, FusionConfig(), Runtime())
