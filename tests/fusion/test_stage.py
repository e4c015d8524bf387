"""The stage as a whole: files, figures, repeatability; and the registry of backends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.config import Runtime
from lotus_recon.errors import FusionError, InputError
from lotus_recon.fusion import stage
from lotus_recon.fusion.backends import BACKENDS, get_backend
from lotus_recon.fusion.backends.base import Backend
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.views import FusionViews
from lotus_recon.io.meshes import read_mesh
from tests.fusion import scenes

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import sys
from pathlib import Path
from lotus_recon.config import Runtime
from lotus_recon.fusion import stage
from lotus_recon.fusion.config import FusionConfig
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
    stage.run(inputs, FusionConfig(), out)
"""


def test_separate_runs_write_the_same_bytes(tmp_path: Path) -> None:
    """Counted and weighted; the hash table and the threads of Open3D give another order in each process."""
    roots = [tmp_path / name for name in ("a", "b")]
    runs = [subprocess.Popen([sys.executable, "-c", RUN, str(root)], cwd=ROOT) for root in roots]
    assert [run.wait() for run in runs] == [0, 0]
    for folder in ("out-False", "out-True"):
        first, second = ((root / folder / stage.MESH_FILE).read_bytes() for root in roots)
        assert len(first) > 10_000
        assert first == second


def test_files_and_figures_agree(tmp_path: Path) -> None:
    result = stage.run(scenes.sphere(tmp_path, n_views=8), FusionConfig(), tmp_path)
    mesh = read_mesh(result.mesh_path)
    figures = stage.FusionResult.load(tmp_path).figures
    assert figures == result.figures
    assert figures["triangles"] == len(mesh.triangles)
    assert figures["vertices"] == len(mesh.vertices)
    assert mesh.normals is not None
    assert figures["views"] == 8
    assert figures["truncation"] == pytest.approx(8 * figures["voxel_size"])  # no confidence
    assert set(figures["seconds"]) == {"scan", "integration", "extraction", "confidence", "writing"}
    assert str(tmp_path) not in json.dumps(figures)


def test_result_of_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fusion\.json is not a readable result"):
        stage.FusionResult.load(tmp_path)


def test_an_unknown_backend_names_what_is_allowed() -> None:
    with pytest.raises(InputError, match="--fusion tsfd: must be one of tsdf, normal"):
        get_backend("tsfd")


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_finds_the_sphere(backend: Backend, tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=12)
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0)
    mesh, figures = backend.fuse(views, FusionConfig(), options_for(backend), Runtime())
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert abs(np.median(radius) - 1) < 0.02
    assert figures["seconds"]
    assert figures["pixel_footprint"] > 0


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_every_backend_refuses_depth_that_was_not_aligned(backend: Backend, tmp_path: Path) -> None:
    view = scenes.plane_view("0.png")
    scenes.write_view(tmp_path, view, np.full((90, 120), 2.0), kind="AFFINE_DISPARITY")
    inputs = scenes.inputs(tmp_path, [view])
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0)
    with pytest.raises(FusionError, match=r"view '0\.png'"):
        backend.fuse(views, FusionConfig(), options_for(backend), Runtime())


def options_for(backend: Backend) -> Any:
    return None if backend.group is None else backend.group[1]()
