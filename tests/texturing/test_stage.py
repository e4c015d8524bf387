"""The texture stage from files to files, and what it says to input that it cannot use."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.io.maps import save_maps
from lotus_recon.synthetic.arrangement import look_at
from lotus_recon.texturing import stage
from lotus_recon.texturing.config import AdvancedTexture, TextureConfig
from lotus_recon.texturing.measuring import compared, vertex_shade
from lotus_recon.texturing.painting import exposed
from lotus_recon.texturing.photos import held_out
from lotus_recon.texturing.preparing import prepared, with_closed_holes
from lotus_recon.texturing.rendering import psnr, ssim
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import DepthKind, DepthMap, Mesh, View
from tests.texturing import scenes
from tests.texturing.scenes import SceneOnDisk

PLAIN = TextureConfig(advanced=AdvancedTexture(max_hole=0.0))


def run(scene: SceneOnDisk, config: TextureConfig = PLAIN, **changes: Any) -> stage.TextureResult:
    out = scene.folder / "texture"
    out.mkdir(exist_ok=True)
    inputs = stage.Inputs(scene.mesh, scene.photos, scene.folder / "depth", scenes.TOLERANCE)
    return stage.run(replace(inputs, **changes), config, out)


def wall_colors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) on the wall and what mesh.obj shows there."""
    mesh: Any = trimesh.load(folder / "mesh.obj", process=False)
    points, faces = trimesh.sample.sample_surface(mesh, 4000, seed=0)
    bary = trimesh.triangles.points_to_barycentric(mesh.vertices[mesh.faces[faces]], points)
    uv = (mesh.visual.uv[mesh.faces[faces]] * bary[..., None]).sum(1)
    picture = np.asarray(mesh.visual.material.image.convert("RGB"))
    row, col = (1 - uv[:, 1]) * picture.shape[0], uv[:, 0] * picture.shape[1]
    return points, picture[row.astype(int), col.astype(int)].astype(float)


def test_the_wall_gets_its_pattern(tmp_path: Path) -> None:
    scene = scenes.write(tmp_path, scenes.views(5))
    result = run(scene, replace(PLAIN, holdout_photos=1))
    figures = result.figures
    assert result.glb_path.is_file()
    assert figures["photos"] == 4
    assert figures["textured_ratio"] == 1
    assert figures["seen_without_texture"] == 0
    assert figures["seam_ratio"] < 1.1
    assert figures["holdout"]["texture"]["psnr_db"] > 40
    assert figures["holdout"]["texture"]["psnr_db"] > figures["holdout"]["vertex_colors"]["psnr_db"] + 3
    assert figures["holdout"]["texture"]["ssim"] > 0.98
    mesh: Any = trimesh.load(tmp_path / "texture/mesh.obj", process=False)
    np.testing.assert_allclose(mesh.bounds[1] - mesh.bounds[0], [2, 2, 0], atol=1e-3)
    assert json.loads((tmp_path / "texture/texture.json").read_text()) == figures


def test_exposure_steps_leave_neither_seams_nor_another_mean(tmp_path: Path) -> None:
    seen = scenes.views(6)
    steps = {1: 2.0, 3: 0.5, 5: 2.0}
    images = {view.name: scenes.photo_of(view) // 2 for view in seen}
    for i, gain in steps.items():
        images[seen[i].name] = exposed(images[seen[i].name], np.full(3, gain)).round().astype(np.uint8)
    alike = {view.name: scenes.photo_of(view) // 2 for view in seen}
    found = [
        (run(scene).figures, wall_colors(scene.folder / "texture")[1])
        for scene in (
            scenes.write(tmp_path / "steps", seen, images),
            scenes.write(tmp_path / "alike", seen, alike),
        )
    ]
    assert found[0][0]["seam_jump"] < found[1][0]["seam_jump"] + 2
    np.testing.assert_allclose(found[0][1].mean(0), found[1][1].mean(0), atol=2)


def test_masked_pixels_and_outlier_photos_do_not_colour(tmp_path: Path) -> None:
    """The left half of every photo is covered by something green, and one photo is all green."""
    seen = scenes.views(5)
    images = {view.name: scenes.photo_of(view) for view in seen}
    masks = {}
    for view in seen[:4]:
        images[view.name][:, :60] = (0, 255, 0)
        mask = np.full((120, 160), 255, np.uint8)
        mask[:, :60] = 0
        masks[view.name] = tmp_path / f"mask_{view.name}"
        Image.fromarray(mask).save(masks[view.name])
    images[seen[4].name][:] = (0, 255, 0)
    scene = replace(scenes.write(tmp_path / "scene", seen, images), masks=masks)
    result = run(scene, outliers=frozenset([seen[4].name]))
    colors = wall_colors(scene.folder / "texture")[1]
    assert result.figures["outlier_photos"] == [seen[4].name]
    assert not ((colors[:, 1] > 240) & (colors[:, 0] < 30)).any()


def test_a_single_photo_and_photos_of_one_colour_will_do_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        one = run(scenes.write(tmp_path / "one", scenes.views(3)[1:2]))
    assert "one photo colours the mesh" in caplog.text
    assert "single colour" not in caplog.text
    caplog.clear()
    assert one.figures["photos"] == 1
    assert one.figures["seen_without_texture"] == 0
    seen = scenes.views(3)
    gray = {view.name: np.full((120, 160, 3), 77, np.uint8) for view in seen}
    gray[seen[1].name] = scenes.photo_of(seen[1])
    with caplog.at_level(logging.WARNING):
        run(scenes.write(tmp_path / "two", seen, gray))
    assert "2 of 3 photos show the mesh in a single colour: photo_0.png, photo_2.png" in caplog.text
    gray[seen[1].name] = gray[seen[0].name]
    run(scenes.write(tmp_path / "gray", seen, gray))
    np.testing.assert_allclose(wall_colors(tmp_path / "gray/texture")[1], 77, atol=1)


def test_a_mesh_that_is_not_manifold_will_do(tmp_path: Path) -> None:
    """A fin stands on the wall; one triangle is there twice, one has no area."""
    wall = scenes.grid(8)
    vertices = np.concatenate([wall.vertices, np.array([[0, 0.25, 0.4]], np.float32)])
    a, b = wall.triangles[60, :2]
    more = np.array([[a, b, len(wall.vertices)], wall.triangles[3], [a, a, b]], np.int32)
    mesh = scenes.with_normals(Mesh(vertices, np.concatenate([wall.triangles, more])))
    result = run(scenes.write(tmp_path, scenes.views(5), mesh=mesh))
    assert result.figures["triangles"] == len(wall.triangles) + 1
    assert result.figures["edges_of_three_or_more_triangles"] == 1
    assert result.figures["seen_without_texture"] == 0


def test_a_small_texture_and_a_small_budget_are_kept_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = scenes.write(tmp_path, scenes.views(5))
    with caplog.at_level(logging.WARNING):
        small = run(scene, replace(PLAIN, texture_size=128))
    assert small.figures["page_size"] == [128, 128]
    assert "of the resolution of the photos (128 x 128 pixels)" in caplog.text
    camera = scenes.CAMERA.resized(1600, 1200)
    large = scenes.write(tmp_path / "large", scenes.views(2, camera))
    frugal = run(large, replace(PLAIN, texture_budget=1)).figures
    assert 3 * frugal["page_size"][0] * frugal["page_size"][1] <= 1e6
    assert frugal["texels_per_pixel"] < 0.9


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    away = [View(v.name, v.camera, look_at(np.array([0, 0, 3.0]), np.array([0, 0, 9.0]), (0, 1, 0)))
            for v in scenes.views(2)]  # fmt: skip
    images = {view.name: scenes.photo_of(scenes.views(1)[0]) for view in away}
    with pytest.raises(InputError, match="none of the 2 photos sees a triangle of the mesh"):
        run(scenes.write(tmp_path / "away", away, images))
    seen = scenes.views(3)
    empty = Mesh(np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match=r"mesh.ply has no triangles"):
        run(scenes.write(tmp_path / "empty", seen, mesh=empty))
    wrong = scenes.write(tmp_path / "size", seen, {seen[1].name: np.zeros((60, 80, 3), np.uint8)})
    with pytest.raises(InputError, match=r"photo_1.png is 80x60 pixels, its camera 160x120"):
        run(wrong)
    good = scenes.write(tmp_path / "good", seen)
    with pytest.raises(InputError, match="--holdout-photos 3: there are 3 photos"):
        run(good, replace(PLAIN, holdout_photos=3))
    with pytest.raises(InputError, match=r"charts, which need more than .*--texture-faces"):
        run(good, replace(PLAIN, texture_size=64))
    with pytest.raises(InputError, match="all 3 photos were marked as outliers"):
        run(good, outliers=frozenset(view.name for view in seen))
    (good.folder / "photos" / seen[0].name).unlink()
    with pytest.raises(InputError, match=r"no photo of view 'photo_0.png' \(1 missing\)"):
        run(good)
    with pytest.raises(InputError, match="not a readable result of the texture stage"):
        stage.TextureResult.load(tmp_path)


def test_held_out_photos_are_spread_and_not_at_the_ends() -> None:
    seen = scenes.views(18)
    assert held_out(seen, 3) == ["photo_3.png", "photo_9.png", "photo_15.png"]
    assert held_out(seen, 0) == []


def with_hole(mesh: Mesh, radius: float) -> Mesh:
    keep = np.linalg.norm(mesh.vertices[mesh.triangles].mean(1)[:, :2], axis=1) > radius
    return replace(mesh, triangles=mesh.triangles[keep])


@pytest.mark.parametrize(("depth_behind", "closed"), [(0.0, 1), (1.0, 0)])
def test_a_hole_is_closed_where_depth_maps_show_the_wall_and_a_window_is_not(
    tmp_path: Path, depth_behind: float, closed: int
) -> None:
    view = scenes.view_from(0, 0.0)
    depth = DepthMap(np.full((120, 160), 2.4 + depth_behind, np.float32), np.ones((120, 160), bool), DepthKind.SCENE)
    save_maps(tmp_path / f"{view.stem}.npz", depth)
    holed = with_hole(scenes.grid(), 0.2)
    mesh, count = with_closed_holes(holed, 0.8, [view], tmp_path, 0.05)
    assert count == closed
    area = 0.5 * np.linalg.norm(np.cross(*np.diff(mesh.vertices[mesh.triangles], axis=1).swapaxes(0, 1)), axis=1).sum()
    if closed:
        assert area == pytest.approx(4.0, rel=1e-3)
        assert (Surface(mesh, 0.02).normals[:, 2] > 0.99).all(), "the patch faces as the wall does"
    else:
        assert len(mesh.triangles) == len(holed.triangles)
    assert with_closed_holes(holed, 0.1, [view], tmp_path, 0.05)[1] == 0, "larger than allowed"


def test_decimation_keeps_the_border_and_drops_what_has_no_area() -> None:
    wall = scenes.grid(24)
    small = prepared(wall, 100)
    assert len(small.triangles) <= 100
    np.testing.assert_allclose(np.ptp(small.vertices, axis=0), [2, 2, 0], atol=1e-3)
    assert small.normals is not None
    np.testing.assert_allclose(small.normals[:, 2], 1, atol=1e-5)


def test_psnr_and_ssim_by_hand() -> None:
    one = np.zeros((40, 40))
    assert psnr(one, one + 16) == pytest.approx(10 * np.log10(255**2 / 256))
    everywhere = np.ones(one.shape, bool)
    picture = np.random.default_rng(0).random((40, 40)) * 255
    assert ssim(picture, picture, everywhere) == pytest.approx(1)
    c1 = (0.01 * 255) ** 2
    assert ssim(one + 100, one + 120, everywhere) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_a_comparison_ignores_exposure_and_what_is_not_shown(tmp_path: Path) -> None:
    surface = scenes.surface(scenes.grid(100))
    view = scenes.view_from(0, 0.0)
    scene = scenes.write(tmp_path, [view], {view.name: scenes.photo_of(view) // 2})
    photo = scene.photos.read(view)
    colors = scenes.pattern(*surface.mesh.vertices[:, :2].T)
    everything = np.ones(len(surface.mesh.triangles), bool)
    (found,) = compared(photo, everything, [vertex_shade(colors, surface)], surface)
    assert found.psnr_db > 45
    assert compared(photo, ~everything, [vertex_shade(colors, surface)], surface) == []
