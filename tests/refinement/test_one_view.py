from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lotus_recon.refinement import one_view
from lotus_recon.refinement.config import AdvancedRefinement, RefinementConfig
from lotus_recon.refinement.matching import Sources
from lotus_recon.refinement.one_view import Level, Prior, Refined, refine, source_agreement
from lotus_recon.types import View
from tests.alignment.analytic import true_depth
from tests.refinement.scenes import bent, gray_of, photo, views

SEEN = views()
HERE = SEEN[2]
EVERYWHERE = torch.ones(HERE.camera.height, HERE.camera.width, dtype=torch.bool)
CONFIG = RefinementConfig(advanced=AdvancedRefinement(sources=4, match_px=0.05))  # photos without noise
ZERO = torch.zeros(HERE.camera.height, HERE.camera.width)


def level(others: list[View], flat_left_of: float = -np.inf, **poses: View) -> Level:
    photos = [photo(view, gray_of(view, flat_left_of=flat_left_of)) for view in others]
    return Level(photo(HERE, gray_of(HERE, flat_left_of=flat_left_of)), Sources.of(HERE, photos))


def error_of(depth: torch.Tensor) -> np.ndarray:
    return np.abs(depth.numpy() / true_depth(HERE) - 1)


@pytest.mark.parametrize("amount", [0.04, 0.1])
def test_a_bent_prior_is_straightened(amount: float) -> None:
    prior = Prior(torch.from_numpy(bent(HERE, amount)).float(), EVERYWHERE, 0.05)
    found = refine([level([SEEN[0], SEEN[1], SEEN[3], SEEN[4]])], prior, ZERO, None, 2 * amount, 0.0, CONFIG)
    before, after = error_of(prior.depth), error_of(prior.moved(found.offset).depth)
    sure = found.confidence.numpy() > 0.5
    assert sure.mean() > 0.5
    assert np.median(after[sure]) < 0.25 * np.median(before[sure])
    assert np.median(after) < 0.5 * np.median(before)


def test_the_truth_stays() -> None:
    prior = Prior(torch.from_numpy(true_depth(HERE)).float(), EVERYWHERE, 0.05)
    found = refine([level([SEEN[0], SEEN[1], SEEN[3], SEEN[4]])], prior, ZERO, None, 0.02, 0.0, CONFIG)
    assert found.offset.abs().median() < 0.002  # 0.04 pixels in the sources


def test_photos_with_poor_poses_hardly_move_a_good_prior() -> None:
    prior = Prior(torch.from_numpy(bent(HERE, 0.01)).float(), EVERYWHERE, 0.005)
    seen = [level([SEEN[0], SEEN[1], SEEN[3], SEEN[4]])]
    good, poor = (refine(seen, prior, ZERO, None, 0.02, noise_px, CONFIG).offset for noise_px in (0.0, 2.0))
    assert poor.abs().median() < 0.2 * good.abs().median()


def test_where_nothing_is_to_be_seen_the_prior_stays_and_says_so() -> None:
    prior = Prior(torch.from_numpy(bent(HERE, 0.02)).float(), EVERYWHERE, 0.05)
    found = refine([level([SEEN[1], SEEN[3]], flat_left_of=100.0)], prior, ZERO, None, 0.04, 0.0, CONFIG)
    assert found.confidence.max() == 0
    assert found.offset.abs().max() < 1e-6


@pytest.mark.parametrize(("half_px", "searched"), [(7.5, 1), (9.0, 2), (30.0, 2)])
def test_a_search_of_more_than_eight_pixels_starts_at_a_coarser_level(
    monkeypatch: pytest.MonkeyPatch, half_px: float, searched: int
) -> None:
    levels = [level([SEEN[1], SEEN[3]])] * 2  # the last one serves whatever its pixels say
    prior = Prior(torch.from_numpy(true_depth(HERE)).float(), EVERYWHERE, 0.05)
    widths: list[float] = []

    def searching(level: Level, prior: Prior, start: torch.Tensor, *rest: Any) -> Refined:
        widths.append(rest[2])
        return Refined(ZERO, ZERO, ZERO)

    monkeypatch.setattr(one_view, "_refine_level", searching)
    movement = levels[0].pixels_per_log_depth(prior)
    refine(levels, prior, ZERO, None, half_px / movement, 0.0, CONFIG)
    assert [round(width * movement, 6) for width in widths] == [half_px, 2.0][:searched]


def test_a_wide_search_starts_at_a_coarser_level() -> None:
    def coarse(view: View) -> View:
        return View(view.name, view.camera.resized(80, 60), view.cam_from_world)

    others = [SEEN[0], SEEN[4]]
    small = Level(photo(coarse(HERE)), Sources.of(HERE, [photo(coarse(view)) for view in others]))
    fine = level(others)
    prior = Prior(torch.from_numpy(true_depth(HERE) * 1.15).float(), EVERYWHERE, 0.05)
    assert 0.2 * fine.pixels_per_log_depth(prior) > 0.2 * small.pixels_per_log_depth(prior) > 1
    found = refine([fine, small], prior, ZERO, None, 0.25, 0.0, CONFIG)
    after = error_of(prior.moved(found.offset).depth)
    assert np.median(after[found.confidence.numpy() > 0.5]) < 0.01


def test_pixels_without_a_prior_have_no_confidence() -> None:
    known = EVERYWHERE.clone()
    known[:, :40] = False
    prior = Prior(torch.from_numpy(true_depth(HERE)).float(), known, 0.05)
    found = refine([level([SEEN[1], SEEN[3]])], prior, ZERO, None, 0.02, 0.0, CONFIG)
    assert found.confidence[:, :40].max() == 0


def test_a_source_with_a_wrong_pose_agrees_with_nothing() -> None:
    pose = SEEN[3].cam_from_world.copy()
    pose[:3, 3] += [0.4, 0.3, 0.2]
    photos = [photo(SEEN[1]), photo(SEEN[0]), photo(SEEN[4]), photo(SEEN[3])]
    wrong = [*photos[:3], type(photos[3])(View("x.jpg", SEEN[3].camera, pose), photos[3].gray, photos[3].camera)]
    prior = Prior(torch.from_numpy(true_depth(HERE)).float(), EVERYWHERE, 0.05)
    right = source_agreement(Level(photo(HERE), Sources.of(HERE, photos)), prior, CONFIG)
    strange = source_agreement(Level(photo(HERE), Sources.of(HERE, wrong)), prior, CONFIG)
    assert right.min() > 0.9
    assert strange[:3].min() > 0.9
    assert strange[3] < 0.5
