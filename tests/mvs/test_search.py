"""The search on photos of the analytic scene, whose depth is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lotus_recon import threads
from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg
from lotus_recon.mvs.config import SearchConfig
from lotus_recon.mvs.planes import depth_of, normals_of, planes_of
from lotus_recon.mvs.search import Estimate, search
from lotus_recon.mvs.sources import Photo, Surface
from tests.mvs.scenes import DEPTH_RANGE, Shot, middle, no_starts, others


def found(config: SearchConfig | None = None, starts: np.ndarray | None = None, **more: object) -> Estimate:
    shot = middle()
    begin = no_starts(shot) if starts is None else starts
    photos = [o.photo for o in others()]
    return search(shot.photo, photos, begin, DEPTH_RANGE, config or SearchConfig(), **more)  # type: ignore[arg-type]


def error_of(estimate: Estimate, shot: Shot | None = None) -> np.ndarray:
    shot = shot or middle()
    return np.abs(depth_of(estimate.planes) / shot.depth - 1)


def right(estimate: Estimate) -> float:
    """Share of pixels within a hundredth of the true depth, which is a sixth of a pixel in the farthest photo."""
    return float((error_of(estimate) < 0.01).mean())


def test_depth_is_found_without_any_start() -> None:
    estimate = found()
    assert np.median(error_of(estimate)) < 0.002
    assert right(estimate) > 0.8
    turned = angle_deg(normals_of(estimate.planes, middle().view.camera), middle().normals)
    assert np.median(turned) < 6


def test_propagation_and_scales_are_what_finds_it() -> None:
    """Of random planes alone, tested at every pixel for itself, few are right."""
    assert right(found(SearchConfig(scales=1, rounds=(1, 0, 0)))) < right(found()) - 0.15


def test_the_start_does_not_decide() -> None:
    shot = middle()
    constant = planes_of(np.full(shot.depth.shape, 4.0), shot.view.camera)[None]
    wrong = planes_of(1.4 * shot.depth, shot.view.camera)[None]
    true = shot.surface.planes[None]
    shares = [right(found(starts=start)) for start in (constant, wrong, true)]
    assert max(shares) - min(shares) < 0.02


def test_surfaces_of_other_views_improve_depth() -> None:
    first = found()
    photos, surfaces = [o.photo for o in others()], [o.surface for o in others()]
    starts = first.planes[None]
    second = search(middle().photo, photos, starts, DEPTH_RANGE, SearchConfig(), surfaces)
    assert np.median(error_of(second)) < 0.7 * np.median(error_of(first))


def test_surfaces_of_no_certainty_add_a_constant_to_every_cost() -> None:
    """Half the geometric weight, whatever the plane: so the planes are those of a pass without them."""
    photos = [o.photo for o in others()]
    unsure = [Surface(o.surface.planes, np.zeros_like(o.surface.certainty)) for o in others()]
    starts = found().planes[None]
    with_them, without = (
        search(middle().photo, photos, starts, DEPTH_RANGE, config, unsure)
        for config in (SearchConfig(later_rounds=(0, 0, 1), geometric_weight=weight) for weight in (0.4, 0.0))
    )
    assert (np.abs(depth_of(with_them.planes) / depth_of(without.planes) - 1) < 1e-3).mean() > 0.85
    # Photos that agree cost next to nothing; 0.2 more for each of them are 0.6 by the scale of ``matching.saturated``.
    agreed = without.cost < 0.06
    assert np.median(with_them.cost[agreed]) == pytest.approx(0.61, abs=0.02)


def test_exposure_does_not_matter() -> None:
    shot = middle()
    photos = [
        replace(o.photo, gray=np.clip(gain * o.photo.gray + 0.05, 0, 1).astype(np.float32))
        for o, gain in zip(others(), (0.7, 0.8, 0.9, 0.75), strict=True)
    ]
    estimate = search(shot.photo, photos, no_starts(shot), DEPTH_RANGE, SearchConfig())
    assert right(estimate) > right(found()) - 0.02


def test_threads_do_not_change_the_result() -> None:
    results = []
    for limit in (1, 3):
        threads.set_thread_limit(limit)
        results.append(found(SearchConfig(scales=2)))
    threads.set_thread_limit(None)
    assert np.array_equal(results[0].planes, results[1].planes)
    assert np.array_equal(results[0].cost, results[1].cost)


def test_another_seed_gives_another_search_and_the_same_depth() -> None:
    a, b = found(), found(seed=1)
    assert not np.array_equal(a.planes, b.planes)
    assert np.median(np.abs(depth_of(a.planes) / depth_of(b.planes) - 1)) < 1e-3


def test_photos_that_show_something_else_hardly_matter() -> None:
    """A pixel is compared with the sources that see it: two photos of noise beside two good ones."""
    shot, (first, second, third, fourth) = middle(), others()
    two = [second.photo, third.photo]
    four = [noise_for(first.photo, 0), *two, noise_for(fourth.photo, 1)]
    alone, among = (search(shot.photo, photos, no_starts(shot), DEPTH_RANGE, SearchConfig()) for photos in (two, four))
    assert right(among) > right(alone) - 0.1


def noise_for(photo: Photo, seed: int) -> Photo:
    """Smooth noise with the contrast of the scene, instead of the photo."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=photo.gray.shape), 3)
    return replace(photo, gray=(0.5 + 0.2 * noise / noise.std()).clip(0, 1).astype(np.float32))


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
