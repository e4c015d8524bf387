"""The search on photos of the analytic scene, whose depth is exact."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon import threads
from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.planes import depth_of, normals_of, planes_of
from lotus_recon.mvs.search import Estimate, search
from lotus_recon.mvs.sources import Surface
from tests.mvs.scenes import DEPTH_RANGE, Shot, middle, no_starts, others


def found(config: SearchConfig | None = None, starts: np.ndarray | None = None, **more: object) -> Estimate:
    shot = middle()
    begin = no_starts(shot) if starts is None else starts
    photos = [o.photo for o in others()]
    return search(shot.photo, photos, begin, DEPTH_RANGE, config or SearchConfig(), **more)  # type: ignore[arg-type]


def error_of(estimate: Estimate, shot: Shot | None = None) -> np.ndarray:
    shot = shot or middle()
    return np.abs(depth_of(estimate.planes) / shot.depth - 1)


def test_depth_is_found_without_any_start() -> None:
    estimate = found()
    error = error_of(estimate)
    assert np.median(error) < 0.001
    assert (error < 0.01).mean() > 0.95
    turned = angle_deg(normals_of(estimate.planes, middle().view.camera), middle().normals)
    assert np.median(turned) < 4


def test_propagation_and_scales_are_what_finds_it() -> None:
    """Of random planes alone, tested at every pixel for itself, few are right."""
    alone = found(SearchConfig(scales=1, rounds=(0, 0, 1)))
    assert (error_of(alone) < 0.01).mean() < 0.8


def test_the_start_does_not_decide() -> None:
    shot = middle()
    constant = planes_of(np.full(shot.depth.shape, 4.0), shot.view.camera)[None]
    wrong = planes_of(1.4 * shot.depth, shot.view.camera)[None]
    true = shot.surface.planes[None]
    shares = [(error_of(found(starts=start)) < 0.01).mean() for start in (constant, wrong, true)]
    assert max(shares) - min(shares) < 0.01


def test_surfaces_of_other_views_improve_depth() -> None:
    first = found()
    photos, surfaces = [o.photo for o in others()], [o.surface for o in others()]
    starts = first.planes[None]
    second = search(middle().photo, photos, starts, DEPTH_RANGE, SearchConfig(), surfaces)
    assert np.median(error_of(second)) < 0.7 * np.median(error_of(first))


def test_surfaces_of_no_certainty_change_nothing_but_a_constant() -> None:
    """They add half the geometric weight to every cost, so the planes are those of a pass without them."""
    photos = [o.photo for o in others()]
    unsure = [Surface(o.surface.planes, np.zeros_like(o.surface.certainty)) for o in others()]
    starts = found().planes[None]
    config = SearchConfig(later_rounds=(0, 0, 1), geometric_weight=0.4)
    with_them = search(middle().photo, photos, starts, DEPTH_RANGE, config, unsure)
    without = search(
        middle().photo, photos, starts, DEPTH_RANGE, SearchConfig(later_rounds=(0, 0, 1), geometric_weight=0), unsure
    )
    assert np.median(with_them.cost - without.cost) == pytest.approx(0.2, abs=1e-3)
    assert (np.abs(depth_of(with_them.planes) / depth_of(without.planes) - 1) < 1e-3).mean() > 0.9


def test_exposure_does_not_matter() -> None:
    shot = middle()
    photos = [
        type(o.photo)(np.clip(gain * o.photo.gray + 0.05, 0, 1).astype(np.float32), o.photo.camera, o.photo.cam_from_world)
        for o, gain in zip(others(), (0.7, 0.8, 0.9, 0.75), strict=True)
    ]
    estimate = search(shot.photo, photos, no_starts(shot), DEPTH_RANGE, SearchConfig())
    assert np.median(error_of(estimate)) < 0.001


def test_threads_do_not_change_the_result() -> None:
    results = []
    for limit in (1, 3):
        threads.set_thread_limit(limit)
        results.append(found(SearchConfig(scales=2)))
    threads.set_thread_limit(None)
    assert np.array_equal(results[0].planes, results[1].planes)
    assert np.array_equal(results[0].support, results[1].support)


def test_another_seed_gives_another_search_and_the_same_depth() -> None:
    a, b = found(), found(seed=1)
    assert not np.array_equal(a.planes, b.planes)
    assert np.median(np.abs(depth_of(a.planes) / depth_of(b.planes) - 1)) < 1e-3


def test_support_says_which_sources_see_a_pixel() -> None:
    """Behind the balls each view sees what others do not."""
    estimate = found()
    shot = middle()
    seen = np.stack([np.asarray(visible(shot, other)) for other in others()], axis=-1)
    inner = error_of(estimate) < 0.005
    assert estimate.support[inner][seen[inner]].mean() > 3 * estimate.support[inner][~seen[inner]].mean()


def visible(shot: Shot, other: Shot) -> np.ndarray:
    """(H, W) whether another view has the same surface there."""
    from lotus_recon.geometry.camera import pixel_index, project, unproject
    from lotus_recon.geometry.pose import invert_rigid, transform

    world = transform(invert_rigid(shot.view.cam_from_world), unproject(shot.depth, shot.view.camera))
    in_cam = transform(other.view.cam_from_world, world)
    xy = project(in_cam, other.view.camera).reshape(-1, 2)
    inside = ((xy > 2) & (xy < np.array(other.view.camera.size) - 2)).all(1)
    depth = other.depth[pixel_index(xy, *other.depth.shape)]
    return (inside & (np.abs(in_cam[..., 2].ravel() / depth - 1) < 0.01)).reshape(shot.depth.shape)


def test_bad_input_is_refused() -> None:
    shot = middle()
    photos = [o.photo for o in others()]
    with pytest.raises(InputError, match="one other photo"):
        search(shot.photo, [], no_starts(shot), DEPTH_RANGE, SearchConfig())
    with pytest.raises(InputError, match=r"allowed: \(S, 120, 160, 3\)"):
        search(shot.photo, photos, np.zeros((1, 5, 5, 3), np.float32), DEPTH_RANGE, SearchConfig())
    for wrong in ((0.0, 2.0), (3.0, 2.0), (1.0, np.inf)):
        with pytest.raises(InputError, match="depth range"):
            search(shot.photo, photos, no_starts(shot), wrong, SearchConfig())
    with pytest.raises(InputError, match="2 surfaces of 4 photos"):
        search(shot.photo, photos, no_starts(shot), DEPTH_RANGE, SearchConfig(), [o.surface for o in others()[:2]])
