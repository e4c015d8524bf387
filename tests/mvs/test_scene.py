"""Ranges of depth, starts and sources of the views of a scene, from what is known of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.geometry.normals import angle_deg
from lotus_recon.io.maps import save_prediction
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.guides import Guides
from lotus_recon.mvs.planes import depth_of, normals_of
from lotus_recon.mvs.scene import StereoScene
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction
from tests.alignment.analytic import true_depth
from tests.mvs.scenes import OnDisk, shots, sparse_points, views, write, write_aligned

CONFIG = MvsConfig(advanced=AdvancedMvs(sources=4, best_parallax_deg=8.0))


def scene_of(on_disk: OnDisk, config: MvsConfig = CONFIG) -> StereoScene:
    return StereoScene(
        on_disk.scene, on_disk.root / "images", Guides(on_disk.aligned, on_disk.root / "predicted"), config
    )


def without_aligned(on_disk: OnDisk) -> OnDisk:
    for path in on_disk.aligned.iterdir():
        path.unlink()
    return on_disk


def test_a_range_holds_points_and_aligned_depth_with_a_margin(tmp_path: Path) -> None:
    seen = views()
    bare, points = without_aligned(write(tmp_path / "points", seen, points=sparse_points())), sparse_points()
    near, far = scene_of(bare).ranges[2] or (0, 0)
    depth = (seen[2].cam_from_world @ np.c_[points.xyz, np.ones(len(points.xyz))].T)[2]
    own = depth[points.obs_point[points.rows_of(2)]]
    assert (near, far) == pytest.approx((np.percentile(own, 1) / 1.3, np.percentile(own, 99) * 1.3))
    both = write(tmp_path / "both", seen, points=sparse_points())
    write_aligned(both.root, seen[2], np.full(true_depth(seen[2]).shape, 20.0))
    wider = scene_of(both).ranges[2] or (0, 0)
    assert wider == pytest.approx((near, 26.0), rel=0.05)


def test_a_view_that_nothing_is_known_of_takes_the_range_of_the_scene_before_it(tmp_path: Path) -> None:
    seen, points = views(), sparse_points()
    kept = points.obs_view != 2
    behind = np.where(np.arange(len(points.xyz))[:, None] % 5 == 0, [0, 0, -5], points.xyz)
    unseen = replace(
        points, xyz=behind, obs_point=points.obs_point[kept], obs_view=points.obs_view[kept], obs_xy=points.obs_xy[kept]
    )
    near, far = scene_of(without_aligned(write(tmp_path, seen, points=unseen))).ranges[2] or (0, 0)
    depth = true_depth(seen[2])
    assert 0 < near < depth.min() < depth.max() < far
    assert far < 3 * depth.max()


def test_without_points_and_aligned_depth_there_is_nothing_to_search(tmp_path: Path) -> None:
    scene = scene_of(without_aligned(write(tmp_path, views())))
    assert scene.ranges == [None] * 5
    assert scene.targets == []


def test_an_excluded_view_is_no_target_and_no_source(tmp_path: Path) -> None:
    scene = scene_of(write(tmp_path, views()))
    assert scene.targets == [0, 1, 2, 3, 4]
    assert 2 in scene.sources_of(1)
    scene.exclude(2)
    assert scene.targets == [0, 1, 3, 4]
    assert all(2 not in scene.sources_of(index) for index in range(5))
    assert scene.sources_of(2) == []
    assert len(scene.photos(1)[1]) == 3


def test_starts_are_points_and_the_aligned_depth_with_its_own_and_the_predicted_slopes(tmp_path: Path) -> None:
    shot = shots()[2]
    on_disk = write(tmp_path, views(), amount=0.0, points=sparse_points())
    turned = np.zeros_like(shot.normals)
    turned[..., 2] = -1
    everywhere = np.ones(shot.depth.shape, bool)
    depth = DepthMap(shot.depth.astype(np.float32), everywhere, DepthKind.SCALE_FREE)
    save_prediction(tmp_path / "predicted/02.npz", Prediction(depth, NormalMap(turned, everywhere)))
    nearest, triangles, own, predicted = scene_of(on_disk).starts(2)
    assert (np.abs(depth_of(nearest) / shot.depth - 1) < 0.1).mean() > 0.6
    inside = triangles[..., 0] > 0
    assert (np.abs(depth_of(triangles) / shot.depth - 1)[inside] < 0.02).mean() > 0.6
    for planes, normals in ((own, shot.normals), (predicted, turned)):
        assert depth_of(planes) == pytest.approx(shot.depth, rel=1e-5)
        assert np.median(angle_deg(normals_of(planes, shot.view.camera), normals)) < 0.1


def test_starts_fit_photos_of_another_size(tmp_path: Path) -> None:
    on_disk = write(tmp_path, views(), amount=0.0, points=sparse_points())
    config = replace(CONFIG, advanced=replace(CONFIG.advanced, match_size=80))
    starts = scene_of(on_disk, config).starts(2)
    assert starts.shape == (4, 60, 80, 3)
    truth = true_depth(replace(views()[2], camera=views()[2].camera.resized(80, 60)))
    inside = starts[1, ..., 0] > 0
    assert (np.abs(depth_of(starts[1]) / truth - 1)[inside] < 0.02).mean() > 0.6
    for planes in starts[2:]:
        assert (np.abs(depth_of(planes) / truth - 1) < 0.02).mean() > 0.9


def test_what_is_allowed_is_where_anything_was_predicted(tmp_path: Path) -> None:
    view = views()[0]
    shape = (view.camera.height, view.camera.width)
    rows, cols = np.indices(shape)
    normals = np.zeros((*shape, 3), np.float32)
    normals[..., 2] = -1
    depth = DepthMap(np.ones(shape, np.float32), rows < 40, DepthKind.SCALE_FREE)
    save_prediction(tmp_path / "predicted/00.npz", Prediction(depth, NormalMap(normals, cols < 50)))
    guide = Guides(tmp_path / "aligned", tmp_path / "predicted").guide(view)
    assert np.array_equal(guide.allowed, (rows < 40) | (cols < 50))
    assert guide.depth is None
    assert guide.normals is not None
    assert not guide.normals[:, 50:].any()
    assert Guides(tmp_path / "aligned", None).guide(view).allowed.all()
    assert len(guide.samples().depth) == 0
