"""Views that look through a false surface take it away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.fusion import stage, volume_integration
from lotus_recon.fusion.blocks import BLOCK_RESOLUTION, pack, unpack
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.free_space import blocks_before
from lotus_recon.fusion.views import FusionMap
from lotus_recon.fusion.volume_config import TsdfConfig
from lotus_recon.io.meshes import read_mesh
from lotus_recon.types import FloatArray, Mesh
from tests.fusion import scenes

VOXEL = 0.04
WALL, FALSE = 4.0, 2.0  # depth of what is there, and of what one view makes up
FACING = np.array([0, 0, -1.0])


def write(root: Path, sure: float | None, false: float | None) -> stage.Inputs:
    """Two views of a wall, with confidence ``sure``, and one that has a surface before the left of it."""
    views = [
        scenes.plane_view("a.png"),
        scenes.plane_view("b.png", (0.1, 0, 0)),
        scenes.plane_view("c.png", (0, 0.1, 0)),
    ]
    for view, confidence in zip(views, (sure, sure, false), strict=True):
        depth = scenes.plane_depth(view, FACING, np.array([0, 0, WALL]))
        if view.name == "c.png":
            depth[20:70, 20:50] = FALSE
        weight = None if confidence is None else np.full(depth.shape, confidence)
        scenes.write_view(root, view, depth, weight)
    return scenes.inputs(root, views)


def fused(root: Path, inputs: stage.Inputs) -> Mesh:
    root.mkdir(exist_ok=True)
    result = stage.run(replace(inputs, backend_options=TsdfConfig(voxel_size=VOXEL)), FusionConfig(), root)
    return read_mesh(result.mesh_path)


def false_surface(mesh: Mesh) -> int:
    """How many vertices lie before the wall."""
    return int((mesh.vertices[:, 2] < 0.9 * WALL).sum())


def test_what_confident_views_see_through_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = write(tmp_path, 1.0, 0.3)
    assert false_surface(fused(tmp_path / "carved", inputs)) == 0

    def none_before(*_: Any) -> NDArray[np.int64]:
        return np.zeros(0, np.int64)

    monkeypatch.setattr(volume_integration, "blocks_before", none_before)
    assert false_surface(fused(tmp_path / "kept", inputs)) > 100


@pytest.mark.parametrize(("sure", "false"), [(0.45, 0.3), (None, None)])
def test_what_unsure_views_see_through_stays(tmp_path: Path, sure: float | None, false: float | None) -> None:
    """And what views without any confidence do, as those of a sensor."""
    assert false_surface(fused(tmp_path / "out", write(tmp_path, sure, false))) > 100


def test_the_wall_behind_stays_and_every_vertex_knows_its_confidence(tmp_path: Path) -> None:
    mesh = fused(tmp_path / "out", write(tmp_path, 0.45, 0.3))
    assert mesh.confidence is not None
    x, y, z = mesh.vertices.T
    shared = (z > 0.95 * WALL) & (x > 0.1) & (x < 1) & (np.abs(y) < 0.8)  # 0.45 + 0.45 + 0.3, at most 1
    alone = z < 1.02 * FALSE
    assert shared.any()
    assert alone.any()
    assert mesh.confidence[shared] == pytest.approx(1)
    assert np.median(mesh.confidence[alone]) == pytest.approx(0.3, abs=1e-3)


def middles(blocks: NDArray[np.int64], voxel: float) -> FloatArray:
    """(N, 3) in world axes."""
    return (unpack(blocks) + 0.5) * voxel * BLOCK_RESOLUTION


def test_blocks_before_a_surface_are_those_between_it_and_the_camera() -> None:
    view, voxel = scenes.plane_view("a.png"), VOXEL / 4
    z, y, x = np.meshgrid(np.arange(-4, 40), np.arange(-16, 16), np.arange(-16, 16), indexing="ij")
    blocks = np.sort(pack(np.stack([x.ravel(), y.ravel(), z.ravel()])))
    depth = np.full((view.camera.height, view.camera.width), WALL, np.float32)
    size, every = voxel * BLOCK_RESOLUTION, middles(blocks, voxel)
    col, row = (150 * every[:, :2] / every[:, 2:] + [view.camera.cx, view.camera.cy]).T
    seen = (every[:, 2] > size) & (every[:, 2] < WALL) & (col > 0) & (col < 120) & (row > 0) & (row < 90)
    for weight in (None, np.full(depth.shape, 0.5, np.float32)):
        chosen = middles(blocks_before(view, FusionMap(depth, weight), blocks, voxel), voxel)
        assert (chosen[:, 2] > 0).all()
        assert (chosen[:, 2] < WALL + size).all()
        assert {*map(tuple, every[seen])} <= {*map(tuple, chosen)}
        assert len(chosen) < 1.6 * seen.sum()  # the others touch the rim of what is seen
    unsure = FusionMap(depth, np.full(depth.shape, 0.49, np.float32))
    chosen = middles(blocks_before(view, unsure, blocks, voxel), voxel)
    assert (chosen[:, 2] < 1.5).all()  # so near that a block fills more of the photo than is looked up at once


def test_a_block_that_fills_the_photo_may_lie_before_any_of_its_pixels() -> None:
    view = scenes.plane_view("a.png")
    depth = np.zeros((view.camera.height, view.camera.width), np.float32)
    depth[:5, :5] = WALL
    block = pack(np.array([[0], [0], [1]]))
    assert len(blocks_before(view, FusionMap(depth, None), block, 4 * VOXEL)) == 1
