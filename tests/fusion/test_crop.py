"""The part of a scene that is reconstructed, in the mesh and the cloud alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import FusionError, InputError
from lotus_recon.fusion import cloud, stage
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.crop import Box, parse_crop, region_of_most
from lotus_recon.fusion.stage import Inputs
from lotus_recon.fusion.views import FusionViews
from lotus_recon.io.meshes import read_mesh, read_points
from lotus_recon.types import Camera, View
from tests.fusion import scenes

CROP = "-2,-0.3,0.2,0.5,2,3"
BOX = Box((-2, -0.3, 0.2), (0.5, 2, 3))


def clouded(inputs: Inputs, config: FusionConfig, out: Path) -> np.ndarray:
    """The points of the cloud."""
    views = FusionViews(inputs.scene, inputs.depth_dir, inputs.images_dir, 0.0)
    return read_points(cloud.run(views, False, CloudConfig(cloud_points=20_000), config, out).path).points


def test_mesh_and_cloud_end_at_the_box_and_are_the_same_within(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path)
    whole_mesh = read_mesh(stage.run(inputs, FusionConfig(), tmp_path).mesh_path)
    whole_cloud = clouded(inputs, FusionConfig(), tmp_path)
    config = FusionConfig(crop=CROP)
    result = stage.run(inputs, config, tmp_path)
    mesh, points = read_mesh(result.mesh_path), clouded(inputs, config, tmp_path)
    assert result.figures["crop"] == [-2, -0.3, 0.2, 0.5, 2, 3]
    for part, whole in ((mesh.vertices, whole_mesh.vertices), (points, whole_cloud)):
        assert BOX.contains(part).all()
        spacing = 0.05
        inner = Box(tuple(np.add(BOX.low, spacing)), tuple(np.subtract(BOX.high, spacing)))
        wanted = whole[inner.contains(whole)]
        assert 0.1 < len(wanted) / len(whole) < 0.9
        distance = np.linalg.norm(wanted[:, None] - part[None, :: max(1, len(part) // 4000)], axis=-1).min(1)
        assert distance.max() < spacing, "nothing is missing within"
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 1, atol=0.04)


def test_surface_beyond_the_box_still_says_that_the_space_before_it_is_free(tmp_path: Path) -> None:
    """A false piece before the wall, inside the box; sure depth of the wall, outside, carves it away."""
    view = scenes.plane_view("a.png")
    other = scenes.plane_view("b.png", (0.3, 0, 0))
    wall = np.full((90, 120), 4.0)
    false = wall.copy()
    false[30:60, 40:80] = 2.0
    scenes.write_view(tmp_path, view, wall, np.full(wall.shape, 1.0))
    scenes.write_view(tmp_path, other, false, np.where(false < 3, 0.06, 1.0))
    inputs = scenes.inputs(tmp_path, [view, other])
    kept = []
    for crop in (None, "-9,-9,0,9,9,3.5"):
        try:
            mesh = read_mesh(stage.run(inputs, FusionConfig(crop=crop), tmp_path).mesh_path)
            kept.append(int((mesh.vertices[:, 2] < 3).sum()))
        except FusionError:
            kept.append(0)
    assert kept[1] <= kept[0]


def ring(n_views: int, inwards: bool) -> list[View]:
    """Cameras on a circle that look at its middle, or away from it."""
    views = []
    for turn in np.linspace(0, 2 * np.pi, n_views, endpoint=False):
        pose = scenes.looking_at_origin(3 * np.array([np.cos(turn), np.sin(turn), 0.0]))
        if not inwards:
            pose = np.diag([-1.0, 1, -1, 1]) @ pose
        views.append(View(f"{turn:.2f}.png", Camera(100, 100, 120, 120, 50, 50), pose))
    return views


def test_auto_is_where_most_cameras_look() -> None:
    generator = np.random.default_rng(0)
    ball = generator.normal(size=(4000, 3))
    ball *= 0.5 / np.linalg.norm(ball, axis=1, keepdims=True)
    walls = 8 * generator.choice([-1, 1], (4000, 3)) * generator.uniform(0.5, 1, (4000, 3))
    box = region_of_most(ring(12, inwards=True), np.concatenate([ball, walls]))
    np.testing.assert_allclose(box.low, -0.5, atol=0.08)
    np.testing.assert_allclose(box.high, 0.5, atol=0.08)


def test_auto_says_where_cameras_look_every_way() -> None:
    points = 8 * np.random.default_rng(0).normal(size=(4000, 3))
    with pytest.raises(FusionError, match=r"--crop auto: no region is in more than half of the 12 photos"):
        region_of_most(ring(12, inwards=False), points)


def test_auto_keeps_the_object_and_drops_what_is_behind_it(tmp_path: Path) -> None:
    inputs = scenes.sphere(tmp_path)
    far = scenes.plane_view("wall.png", (0, 0, -3))
    scenes.write_view(tmp_path, far, scenes.plane_depth(far, np.array([0, 0, 1.0]), np.array([0, 0, 4.0])))
    inputs = replace(inputs, scene=replace(inputs.scene, views=(*inputs.scene.views, far)))
    result = stage.run(inputs, FusionConfig(crop="auto"), tmp_path)
    box = Box(tuple(result.figures["crop"][:3]), tuple(result.figures["crop"][3:]))
    vertices = read_mesh(result.mesh_path).vertices
    np.testing.assert_allclose([box.low, box.high], [[-1] * 3, [1] * 3], atol=0.25)
    assert vertices[:, 2].max() < 1.3
    assert vertices[:, 2].min() < -0.9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "allowed are six numbers"),
        ("a,b,c,d,e,f", "allowed are six numbers"),
        ("0,0,0,1,1,nan", "allowed are six numbers"),
        ("0,0,0,1,1,inf", "allowed are six numbers"),
        ("0,0,2,1,1,1", r"z1 = 1 must be above z0 = 2"),
        ("0,0,0,0,1,1", r"x1 = 0 must be above x0 = 0"),
        ("Auto", "or auto"),
    ],
)
def test_what_is_no_box_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_crop(text)


def test_a_box_beside_the_scene_is_said(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"no pixel is left to fuse: .* lie outside the box \(--crop\)"):
        stage.run(scenes.sphere(tmp_path, n_views=4), FusionConfig(crop="50,50,50,60,60,60"), tmp_path)
