"""The memory budget: known before, kept to, never exceeded."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import FusionError
from lotus_recon.fusion import stage
from lotus_recon.fusion.blocks import blocks_per_view, pack, unpack
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.memory import free_memory_bytes
from lotus_recon.fusion.views import FusionViews
from lotus_recon.fusion.volume_config import TsdfConfig
from tests.fusion import scenes

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import json, sys
from pathlib import Path
import trimesh
from lotus_recon.fusion import stage, volume_integration
from lotus_recon.fusion.config import FusionConfig
from dataclasses import replace
from lotus_recon.fusion.volume_config import TsdfConfig
from tests.fusion import scenes
root = Path(sys.argv[1])
inputs = scenes.sphere(root, n_views=8, size=160)
(root / "out").mkdir()
stage.run(replace(inputs, backend_options=TsdfConfig(voxel_footprints=0.5)), FusionConfig(), root / "out")
"""


def test_budget_coarsens_the_voxels_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inputs = scenes.sphere(tmp_path, n_views=6)
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, logger="lotus_recon"):
        sized = replace(inputs, backend_options=TsdfConfig(voxel_size=0.012))
        result = stage.run(sized, FusionConfig(memory_gb=0.12), tmp_path / "out")
    assert 0.012 < result.figures["voxel_size"] < 4 * 0.012
    assert result.figures["estimated_memory_mb"] * 2**20 <= 0.12e9
    assert "coarser voxels" in caplog.text


def test_budget_far_too_small_is_refused(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=2)
    with pytest.raises(FusionError, match=r"budget is 0\.01 GB .* --memory-gb"):
        stage.run(inputs, FusionConfig(memory_gb=0.01), tmp_path)


def test_estimate_is_above_the_peak_but_not_far(tmp_path: Path) -> None:
    """In a process of its own, because the peak of a process never falls."""
    subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], check=True, cwd=ROOT)
    figures = stage.FusionResult.load(tmp_path / "out").figures
    assert figures["blocks"] > 1000
    assert figures["measured_memory_mb"] <= figures["estimated_memory_mb"] <= 1.5 * figures["measured_memory_mb"]


def test_surface_lies_in_the_blocks_that_were_counted(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=14)
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0)
    voxel = 0.02
    counted = np.unique(np.concatenate(blocks_per_view(views.scan(5.0), voxel, 8 * voxel)))
    directions = np.random.default_rng(0).normal(size=(20_000, 3))
    on_sphere = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    needed = np.unique(pack(np.floor(on_sphere / (16 * voxel)).T))
    assert np.isin(needed, counted).all()


def test_packed_blocks_come_back() -> None:
    blocks = np.random.default_rng(0).integers(-(2**19), 2**19, (1000, 3))
    np.testing.assert_array_equal(unpack(pack(blocks.T)), blocks)
    assert len(np.unique(pack(blocks.T))) == len(np.unique(blocks, axis=0))


def test_voxels_too_small_for_the_extent_are_refused(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path, n_views=2)
    with pytest.raises(FusionError, match="too small for a scene of this extent"):
        stage.run(replace(inputs, backend_options=TsdfConfig(voxel_size=1e-8)), FusionConfig(), tmp_path)


def test_free_memory_is_told() -> None:
    assert 2**20 < free_memory_bytes("CPU:0") < 2**50
