from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.geometry.consistency import SampledDepth, grid_samples
from lotus_recon.geometry.pose import invert_rigid, transform
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.selection import choose_sources
from lotus_recon.types import Scene, SparsePoints, View
from tests.alignment.analytic import true_depth
from tests.mvs.scenes import views

CONFIG = MvsConfig(advanced=AdvancedMvs(sources=2, best_parallax_deg=10.0))


def choose(scene: Scene, index: int, config: MvsConfig = CONFIG) -> list[int]:
    everyone = np.ones(len(scene.views), bool)
    return choose_sources(scene, {index: samples(scene.views[index])}, everyone, config)[index].tolist()


def samples(view: View) -> SampledDepth:
    depth = true_depth(view)
    row, col = grid_samples(np.ones(depth.shape, bool), 300)
    return SampledDepth(np.stack([col + 0.5, row + 0.5], 1), depth[row, col])


def tracks(seen: tuple[View, ...]) -> SparsePoints:
    """Points of the first view, seen by all views that have them in their picture."""
    view = seen[0]
    rows = samples(view).xy.astype(int)
    world = transform(invert_rigid(view.cam_from_world), rays_in_cam(view.camera) * true_depth(view)[..., None])
    xyz = world[rows[:, 1], rows[:, 0]]
    found = [(i, project(transform(v.cam_from_world, xyz), v.camera)) for i, v in enumerate(seen)]
    inside = [(i, xy, ((xy >= 0) & (xy < v.camera.size)).all(1)) for (i, xy), v in zip(found, seen, strict=True)]
    point = np.concatenate([np.flatnonzero(ok) for _, _, ok in inside])
    which = np.concatenate([np.full(ok.sum(), i) for i, _, ok in inside])
    xy = np.concatenate([xy[ok] for _, xy, ok in inside])
    return SparsePoints(xyz, np.zeros((len(xyz), 3), np.uint8), np.full(len(xyz), 0.5), point, which, xy)


@pytest.mark.parametrize("with_points", [False, True])
def test_the_best_angle_is_preferred(with_points: bool) -> None:
    seen = views(6, step=0.2)  # about 2.5 degrees apart
    scene = Scene(seen, tracks(seen) if with_points else SparsePoints.empty())
    chosen = choose(scene, 0)
    assert set(chosen) <= {3, 4, 5}
    assert len(chosen) == 2


@pytest.mark.parametrize("with_points", [False, True])
def test_a_camera_that_only_turned_is_no_source(with_points: bool) -> None:
    here = views(3)[1]
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(0.1), 0, np.sin(0.1)], [0, 1, 0], [-np.sin(0.1), 0, np.cos(0.1)]]
    seen = (here, replace(here, name="turned.jpg", cam_from_world=turn @ here.cam_from_world))
    scene = Scene(seen, tracks(seen) if with_points else SparsePoints.empty())
    assert choose(scene, 0) == []


def test_a_camera_that_looks_away_is_no_source() -> None:
    seen = views(2)
    back = np.diag([-1.0, 1, -1, 1]) @ seen[1].cam_from_world
    scene = Scene((seen[0], replace(seen[1], cam_from_world=back)), SparsePoints.empty())
    assert choose(scene, 0) == []


def test_a_photo_of_the_same_scale_is_preferred() -> None:
    seen = views(3, step=0.5)
    coarse = replace(seen[2], camera=seen[2].camera.resized(40, 30))
    scene = Scene((seen[0], seen[1], coarse), SparsePoints.empty())
    one = replace(CONFIG, advanced=replace(CONFIG.advanced, sources=1))
    assert choose(scene, 1, one) == [0]


def test_a_longer_lens_farther_away_has_the_same_scale() -> None:
    """Beside one as near with the same lens that magnifies twice."""
    seen = views(3, step=0.5)
    longer = replace(seen[0].camera, fx=2 * seen[0].camera.fx, fy=2 * seen[0].camera.fy)
    center = np.array([0.0, 0.0, np.median(true_depth(seen[1]))])  # of the scene, for the camera in the middle
    away = invert_rigid(seen[2].cam_from_world)
    target = transform(invert_rigid(seen[1].cam_from_world), center)
    away[:3, 3] = target + 2 * (away[:3, 3] - target)
    farther = replace(seen[2], cam_from_world=invert_rigid(away), camera=longer)
    scene = Scene((replace(seen[0], camera=longer), seen[1], farther), SparsePoints.empty())
    one = replace(CONFIG, advanced=replace(CONFIG.advanced, sources=1))
    assert choose(scene, 1, one) == [2]


def test_what_tracks_do_not_show_is_hidden() -> None:
    """The samples lie in every photo; where there are tracks, they tell that one of them does not see the same."""
    seen = views(3, step=0.5)
    everything = tracks(seen)
    kept = everything.obs_view != 1
    points = replace(
        everything,
        obs_point=everything.obs_point[kept],
        obs_view=everything.obs_view[kept],
        obs_xy=everything.obs_xy[kept],
    )
    assert sorted(choose(Scene(seen, SparsePoints.empty()), 0)) == [1, 2]
    assert choose(Scene(seen, points), 0) == [2]


def test_only_allowed_photos_are_chosen() -> None:
    seen = views(4)
    allowed = np.array([True, False, True, False])
    chosen = choose_sources(Scene(seen, SparsePoints.empty()), {0: samples(seen[0])}, allowed, CONFIG)[0]
    assert chosen.tolist() == [2]
