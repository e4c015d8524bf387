"""First fits: views without points of their own follow views that have a fit, unless their points object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.alignment import start
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import ControlPoints, Observations
from lotus_recon.alignment.fit import DepthFit, FitOutcome
from lotus_recon.alignment.start import Start, starts_from_points, with_overlap
from lotus_recon.alignment.views import PredictedView
from lotus_recon.alignment.work import WorkingMaps
from lotus_recon.types import DepthKind, DepthMap
from tests.alignment.analytic import Truth, make_scene

CONFIG = AlignmentConfig()
COUNT = 6


@pytest.fixture(scope="module")
def truth() -> Truth:
    return make_scene(views=COUNT, points=300)


@pytest.fixture
def maps(tmp_path: Path) -> WorkingMaps:
    return WorkingMaps(tmp_path)


@pytest.fixture
def starts(truth: Truth, maps: WorkingMaps) -> list[Start]:
    """Exact maps of unknown scale, each fitted to its points."""
    observed = Observations.of(truth.scene)
    views = []
    for i, (view, depth) in enumerate(zip(truth.scene.views, truth.depths, strict=True)):
        prediction = DepthMap((depth / (i + 1)).astype(np.float32), np.ones(depth.shape, bool), DepthKind.AFFINE)
        maps.add_prediction(view, prediction)
        views.append(PredictedView.of(i, view, prediction, observed, 400))
    return starts_from_points(views, observed, np.ones(len(truth.scene.points.xyz), bool), CONFIG, seed=0)


def without_fit(one: Start, keep: ControlPoints | None = None) -> Start:
    points = one.aligned.points
    none = points.where(np.zeros(len(points), bool))
    placeholder = DepthFit(DepthKind.AFFINE, 1.0, 0.0)
    return replace(
        one, aligned=replace(one.aligned, points=keep or none, fit=placeholder), outcome=FitOutcome(None, reason="none")
    )


def scales(starts: Sequence[Start]) -> list[float | None]:
    return [None if one.outcome.fit is None else one.outcome.fit.scale for one in starts]


def test_fits_spread_from_one_view_to_all(starts: list[Start], maps: WorkingMaps) -> None:
    alone = [starts[0], *map(without_fit, starts[1:])]
    spread = with_overlap(alone, maps, CONFIG, seed=0)
    assert [one.source for one in spread] == ["points"] + ["overlap"] * (COUNT - 1)
    assert scales(spread) == pytest.approx([1, 2, 3, 4, 5, 6], rel=0.01)


def test_without_a_fit_there_is_nothing_to_follow(starts: list[Start], maps: WorkingMaps) -> None:
    assert scales(with_overlap([*map(without_fit, starts)], maps, CONFIG, seed=0)) == [None] * COUNT


@pytest.mark.parametrize(("factor", "follows"), [(1.0, True), (1.5, False)])
def test_neighbours_do_not_overrule_points(
    starts: list[Start], maps: WorkingMaps, factor: float, follows: bool
) -> None:
    points = starts[2].aligned.points
    moved = replace(points, depth=points.depth * factor).where(np.arange(len(points)) < 20)
    starts[2] = without_fit(starts[2], keep=moved)
    after = with_overlap(starts, maps, CONFIG, seed=0)[2]
    assert (after.outcome.fit is not None) == follows
    few = starts[2].aligned.points.where(np.arange(20) < 5)  # too few to object
    starts[2] = without_fit(starts[2], keep=few)
    assert with_overlap(starts, maps, CONFIG, seed=0)[2].source == "overlap"


def test_a_view_that_sees_none_of_the_others_stays_without_fit(starts: list[Start], maps: WorkingMaps) -> None:
    predicted = starts[5].aligned.predicted
    turned = predicted.view.cam_from_world.copy()
    turned[:3] = np.diag([-1.0, 1.0, -1.0]) @ turned[:3]  # looks the other way
    predicted = replace(predicted, view=replace(predicted.view, cam_from_world=turned))
    starts[5] = without_fit(replace(starts[5], aligned=replace(starts[5].aligned, predicted=predicted)))
    assert scales(with_overlap(starts, maps, CONFIG, seed=0))[5] is None


def test_the_most_covisible_sources_suffice(
    starts: list[Start], maps: WorkingMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more views are in sight than are used, those with the most pixels in sight are."""
    starts[5] = without_fit(starts[5])
    used: list[list[int]] = []
    fit_to_overlap = start._fit_to_overlap

    def noted(current: Sequence[Start], index: int, sources: Sequence[int], *rest: object) -> Start | None:
        used.append(list(sources))
        return fit_to_overlap(current, index, sources, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(start, "_fit_to_overlap", noted)
    monkeypatch.setattr(start, "_MAX_SOURCES", 2)
    fits = scales(with_overlap(starts, maps, CONFIG, seed=0))
    assert used == [[3, 4]]
    assert fits[5] == pytest.approx(6, rel=0.01)
