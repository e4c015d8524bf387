"""The dense cloud of a sphere: on the surface, with its normals, no more points than asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import FusionError
from lotus_recon.fusion import cloud
from lotus_recon.fusion.cloud_config import CloudConfig
from lotus_recon.fusion.config import FusionConfig
from lotus_recon.fusion.views import FusionViews
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.io.meshes import PointCloud, read_points
from lotus_recon.types import Scene, SparsePoints
from tests.fusion.scenes import COLOR, inputs, plane_depth, plane_view, sphere, sphere_depth, write_view


def made(root: Path, scene: Scene, most: int, max_depth_ratio: float = 3.0) -> tuple[PointCloud, dict[str, object]]:
    views = FusionViews(scene, root / "depth", root / "images", 0.0)
    result = cloud.run(
        views, scene.metric, CloudConfig(cloud_points=most), FusionConfig(max_depth_ratio=max_depth_ratio), root
    )
    assert cloud.CloudResult.load(root).figures == result.figures == json.loads((root / "dense.json").read_text())
    return read_points(result.path), result.figures


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    root = tmp_path_factory.mktemp("sphere")
    return root, sphere(root).scene


def test_points_lie_on_the_sphere_with_its_normals_and_colour(scene: tuple[Path, Scene]) -> None:
    points, figures = made(*scene, most=3000)
    assert points.normals is not None
    assert points.colors is not None
    footprint = 2.4 / 144  # of a pixel on the sphere, at most
    assert np.abs(np.linalg.norm(points.points, axis=1) - 1).max() < footprint
    outward = points.points / np.linalg.norm(points.points, axis=1, keepdims=True)
    angle = angle_deg(points.normals, outward)
    assert np.median(angle) < 2, "towards the cameras"
    assert np.percentile(angle, 95) < 12
    assert (points.colors == COLOR).all()
    assert figures["unit"] == "units of the poses"


@pytest.mark.parametrize("most", [1, 500, 5000])
def test_there_are_as_many_points_as_asked_for(scene: tuple[Path, Scene], most: int) -> None:
    points, figures = made(*scene, most=most)
    assert 0.9 * most <= len(points.points) <= most
    assert figures["points"] == len(points.points)


def test_points_are_spread_evenly(scene: tuple[Path, Scene]) -> None:
    """No octant of the sphere has far more of them than another."""
    points, _ = made(*scene, most=4000)
    octant = (points.points > 0) @ [1, 2, 4]
    counts = np.bincount(octant, minlength=8)
    assert counts.max() < 1.3 * counts.min()


def test_fewer_pixels_than_points_asked_for_are_all_there_is(tmp_path: Path) -> None:
    view = plane_view("a.png", size=(40, 30))
    write_view(tmp_path, view, plane_depth(view, np.array([0, 0, 1.0]), np.array([0, 0, 2.0])))
    points, figures = made(tmp_path, inputs(tmp_path, [view]).scene, most=100_000)
    assert len(points.points) == 40 * 30
    assert figures["voxel_size"] == pytest.approx(0.5 * 2 / 150), "half a pixel"


def test_the_confidence_of_the_photos_that_show_a_point_adds_up(tmp_path: Path) -> None:
    views = [plane_view(f"{name}.png", (0.02 * i, 0, 0)) for i, name in enumerate("abc")]
    for view in views:
        depth = plane_depth(view, np.array([0, 0, 1.0]), np.array([0, 0, 2.0]))
        write_view(tmp_path, view, depth, np.full(depth.shape, 0.3))
    points, _ = made(tmp_path, inputs(tmp_path, views).scene, most=200)
    assert points.confidence is not None
    middle = np.abs(points.points[:, :2]).max(1) < 0.4
    assert points.confidence[middle] == pytest.approx(0.9, abs=1e-3)


def test_a_sure_pixel_counts_more_than_an_unsure_one(tmp_path: Path) -> None:
    views = [plane_view(f"{name}.png", (0.001, 0, 0)) for name in "ab"]
    for view, z, confidence in zip(views, (2.0, 2.02), (0.9, 0.1), strict=True):
        depth = plane_depth(view, np.array([0, 0, 1.0]), np.array([0, 0, z]))
        write_view(tmp_path, view, depth, np.full(depth.shape, confidence))
    points, _ = made(tmp_path, inputs(tmp_path, views).scene, most=40)
    assert np.median(points.points[:, 2]) == pytest.approx(2.002, abs=1e-3)


def test_what_is_far_away_does_not_take_the_points(tmp_path: Path) -> None:
    """As in the mesh: pixels beyond --max-depth-ratio times the median are left out."""
    view = plane_view("a.png")
    depth = plane_depth(view, np.array([0, 0, 1.0]), np.array([0, 0, 2.0]))
    depth[:30] = 50.0
    write_view(tmp_path, view, depth)
    points, _ = made(tmp_path, inputs(tmp_path, [view]).scene, most=1000)
    assert points.points[:, 2].max() < 2.1


def test_metric_scenes_say_so(scene: tuple[Path, Scene]) -> None:
    root, posed = scene
    assert made(root, replace(posed, metric=True), most=100)[1]["unit"] == "metres"


def test_no_depth_is_an_error(tmp_path: Path) -> None:
    view = plane_view("a.png")
    with pytest.raises(FusionError, match="none of the 1 views of the scene has a depth map"):
        made(tmp_path, Scene((view,), SparsePoints.empty()), most=10)


def test_two_runs_write_the_same_bytes(scene: tuple[Path, Scene]) -> None:
    made(*scene, most=2000)
    before = (scene[0] / "dense.ply").read_bytes()
    made(*scene, most=2000)
    assert (scene[0] / "dense.ply").read_bytes() == before


def test_sphere_depth_is_what_the_cloud_is_made_of(scene: tuple[Path, Scene]) -> None:
    """Switching the pixel centres off (half a pixel aside) would show: every point is where a pixel's ray meets it."""
    root, posed = scene
    points, _ = made(root, replace(posed, views=posed.views[:1]), most=10_000_000)
    view = posed.views[0]
    assert len(points.points) == np.count_nonzero(sphere_depth(view, 1.0))
    assert np.abs(np.linalg.norm(points.points, axis=1) - 1).max() < 1e-5
