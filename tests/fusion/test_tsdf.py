"""Fused surfaces against the formula of the scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree

from lotus_recon.errors import FusionError
from lotus_recon.fusion import stage, volume_integration
from lotus_recon.fusion.config import AdvancedFusion, FusionConfig
from lotus_recon.fusion.volume_config import AdvancedTsdf, TsdfConfig
from lotus_recon.geometry.triangles import triangle_area_vectors
from lotus_recon.io.meshes import read_mesh
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import Mesh
from tests.fusion import scenes

TILT = np.radians(50)
TILTED = np.array([np.sin(TILT), 0, -np.cos(TILT)])
POINT = np.array([0, 0, 2.0])


def fused(
    root: Path, inputs: stage.Inputs, options: TsdfConfig | None = None, config: FusionConfig | None = None
) -> tuple[Mesh, stage.FusionResult]:
    out = root / "out"
    out.mkdir(exist_ok=True)
    result = stage.run(replace(inputs, backend_options=options), config or FusionConfig(), out)
    return read_mesh(result.mesh_path), result


def test_sphere_has_its_radius_and_no_hole(tmp_path: Path) -> None:
    """With a narrow band: a wide one takes what lies behind the outline of the sphere for its inside."""
    mesh, result = fused(
        tmp_path, scenes.sphere(tmp_path, n_views=20), TsdfConfig(advanced=AdvancedTsdf(truncation_voxels=5))
    )
    voxel = result.figures["voxel_size"]
    error = np.linalg.norm(mesh.vertices, axis=1) - 1
    assert np.abs(error).max() < voxel
    assert abs(error.mean()) < 0.2 * voxel
    solid = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi, rel=0.02)  # positive: triangles face outwards
    assert float(np.linalg.norm(triangle_area_vectors(mesh), axis=1).sum()) == pytest.approx(4 * np.pi, rel=0.05)


def test_vertices_have_outward_normals_and_the_color_of_the_photos(tmp_path: Path) -> None:
    mesh, _ = fused(tmp_path, scenes.sphere(tmp_path))
    assert mesh.normals is not None
    assert mesh.colors is not None
    outward = (mesh.normals * mesh.vertices).sum(1)
    assert np.median(outward) > 0.98
    assert np.abs(mesh.colors.astype(int) - scenes.COLOR).max() <= 1


@pytest.mark.parametrize(("confidence", "band"), [(None, 8), (0.45, 8), (0.5, 4)])
def test_tilted_plane_stays_where_it_is(tmp_path: Path, confidence: float | None, band: float) -> None:
    """Half a pixel of shift would move this plane by 0.19 voxels. The band is narrow where photos decide the depth."""
    views = [scenes.plane_view(f"{i}.png", (0.013 * i, 0.007 * i, 0)) for i in range(8)]
    for view in views:
        depth = scenes.plane_depth(view, TILTED, POINT)
        scenes.write_view(tmp_path, view, depth, None if confidence is None else np.full(depth.shape, confidence))
    mesh, result = fused(tmp_path, scenes.inputs(tmp_path, views))
    assert result.figures["weighted"] == (confidence is not None)
    assert result.figures["truncation"] == pytest.approx(band * result.figures["voxel_size"])
    distance = (mesh.vertices - POINT) @ TILTED
    assert abs(distance.mean()) < 0.03 * result.figures["voxel_size"]
    assert distance.std() < 0.15 * result.figures["voxel_size"]


def test_weights_give_the_weighted_mean_of_two_planes(tmp_path: Path) -> None:
    """Where both distances are within the truncation, the zero of their weighted mean is the weighted mean depth."""
    normal = np.array([0, 0, -1.0])
    for name, depth, weight in (("a.png", 2.0, 0.9), ("b.png", 2.04, 0.1)):
        view = scenes.plane_view(name)
        shape = (view.camera.height, view.camera.width)
        plane = scenes.plane_depth(view, normal, np.array([0, 0, depth]))
        scenes.write_view(tmp_path, view, plane, np.full(shape, weight))
    views = [scenes.plane_view("a.png"), scenes.plane_view("b.png")]
    mesh, _ = fused(tmp_path, scenes.inputs(tmp_path, views), TsdfConfig(voxel_size=0.02))
    np.testing.assert_allclose(mesh.vertices[:, 2], 0.9 * 2.0 + 0.1 * 2.04, atol=1e-5)


def test_standard_deviations_weigh_by_their_inverse_squares(tmp_path: Path) -> None:
    """One map is twice as sure as the other: four times the weight, at the same confidence."""
    normal, views = np.array([0, 0, -1.0]), [scenes.plane_view("a.png"), scenes.plane_view("b.png")]
    for view, depth, sigma in zip(views, (2.0, 2.04), (0.01, 0.02), strict=True):
        plane = scenes.plane_depth(view, normal, np.array([0, 0, depth]))
        scenes.write_view(tmp_path, view, plane, np.full(plane.shape, 0.8))
        SceneMaps(tmp_path / "sigma").save(view, sigma=np.full(plane.shape, sigma / depth))
    inputs = replace(scenes.inputs(tmp_path, views), sigma_dir=tmp_path / "sigma")
    mesh, _ = fused(tmp_path, inputs, TsdfConfig(voxel_size=0.02))
    np.testing.assert_allclose(mesh.vertices[:, 2], (4 * 2.0 + 2.04) / 5, atol=1e-5)


def test_confidence_acts_where_it_is_low(tmp_path: Path) -> None:
    """A wrong map without confidence on its left half moves only the right half, by a half."""
    normal, views = np.array([0, 0, -1.0]), [scenes.plane_view("a.png"), scenes.plane_view("b.png")]
    for view, depth in zip(views, (2.0, 2.04), strict=True):
        plane = scenes.plane_depth(view, normal, np.array([0, 0, depth]))
        confidence = np.ones_like(plane)
        if depth != 2.0:
            confidence[:, : plane.shape[1] // 2] = 0
        scenes.write_view(tmp_path, view, plane, confidence)
    mesh, _ = fused(tmp_path, scenes.inputs(tmp_path, views), TsdfConfig(voxel_size=0.02))
    left, right = mesh.vertices[mesh.vertices[:, 0] < -0.2], mesh.vertices[mesh.vertices[:, 0] > 0.2]
    np.testing.assert_allclose(left[:, 2], 2.0, atol=1e-5)
    np.testing.assert_allclose(right[:, 2], 2.02, atol=1e-5)


def test_weighted_and_counted_integration_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for carving, which only weights do."""
    monkeypatch.setattr(volume_integration, "blocks_before", lambda *_: np.zeros(0, np.int64))
    plain, inputs = tmp_path / "plain", scenes.sphere(tmp_path / "plain", n_views=6)
    config = TsdfConfig(advanced=AdvancedTsdf(truncation_voxels=6))
    counted, _ = fused(plain, inputs, config)
    for view in inputs.scene.views:
        depth = scenes.sphere_depth(view, 1.0)
        scenes.write_view(tmp_path / "weighted", view, depth, np.full(depth.shape, 0.9))
    weighted, _ = fused(tmp_path / "weighted", scenes.inputs(tmp_path / "weighted", inputs.scene.views), config)
    assert len(weighted.triangles) == pytest.approx(len(counted.triangles), rel=1e-3)
    for one, other in ((weighted, counted), (counted, weighted)):
        distance, _ = KDTree(one.vertices).query(other.vertices)
        assert np.quantile(distance, 0.999) < 1e-5


def test_min_fused_weight_counts_views(tmp_path: Path) -> None:
    """The overlap of two planes side by side has weight 2; alone it is kept with a limit of 1.5."""
    normal, views = np.array([0, 0, -1.0]), [scenes.plane_view("a.png"), scenes.plane_view("b.png", (0.8, 0, 0))]
    for view in views:
        scenes.write_view(tmp_path, view, scenes.plane_depth(view, normal, POINT))
    both, _ = fused(tmp_path, scenes.inputs(tmp_path, views), TsdfConfig(voxel_size=0.02))
    overlap, _ = fused(
        tmp_path,
        scenes.inputs(tmp_path, views),
        TsdfConfig(voxel_size=0.02, advanced=AdvancedTsdf(min_fused_weight=1.5)),
    )
    assert np.ptp(both.vertices[:, 0]) == pytest.approx(1.6 + 0.8, abs=0.05)
    assert np.ptp(overlap.vertices[:, 0]) == pytest.approx(1.6 - 0.8, abs=0.05)


def test_far_pixels_are_cut_relative_to_the_scene(tmp_path: Path) -> None:
    view = scenes.plane_view("a.png")
    depth = np.full((view.camera.height, view.camera.width), 2.0)
    depth[:, :30] = 30.0
    scenes.write_view(tmp_path, view, depth)
    mesh, result = fused(tmp_path, scenes.inputs(tmp_path, [view]))
    assert mesh.vertices[:, 2].max() < 2.1
    assert result.figures["pixels"]["far"] == pytest.approx(30 * 90, rel=0.1)


def test_empty_volume_says_what_was_cut(tmp_path: Path) -> None:
    view = scenes.plane_view("a.png")
    depth = np.full((view.camera.height, view.camera.width), 2.0)
    depth[:45] = 0
    scenes.write_view(tmp_path, view, depth, np.full(depth.shape, 0.1))
    with pytest.raises(FusionError, match=r"50\.0 % have no valid depth, 50\.0 % have too little confidence"):
        fused(
            tmp_path,
            scenes.inputs(tmp_path, [view]),
            config=FusionConfig(advanced=AdvancedFusion(min_fused_confidence=0.5)),
        )
    with pytest.raises(FusionError, match=r"no surface with a summed weight above 3 .*50\.0 % have no valid depth"):
        fused(tmp_path, scenes.inputs(tmp_path, [view]), TsdfConfig(advanced=AdvancedTsdf(min_fused_weight=3)))
