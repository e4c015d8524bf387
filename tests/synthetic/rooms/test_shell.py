"""Empty rooms drawn at random."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.plan import Plan
from lotus_recon.synthetic.rooms.shell import KINDS, draw_kind, draw_plan


def plans(count: int) -> list[Plan]:
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        found.append(draw_plan(draw_kind(random), random))
    return found


def test_most_plans_have_windows_and_all_a_door() -> None:
    drawn = plans(120)
    assert np.mean([any(opening.kind == "window" for opening in plan.openings) for plan in drawn]) > 0.75
    assert np.mean([any(opening.kind == "door" for opening in plan.openings) for plan in drawn]) > 0.9


def test_openings_fit_into_their_walls_and_do_not_overlap() -> None:
    for plan in plans(120):
        for i, wall in enumerate(plan.walls):
            openings = sorted(plan.openings_of(i), key=lambda opening: opening.start)
            for opening in openings:
                assert opening.start > 0 and opening.end < wall.length  # noqa: PT018
                tops = [plan.ceiling.at(*wall.point(x, 0.0)) for x in (opening.start, opening.end)]
                assert opening.top < min(tops)
            for a, b in itertools.pairwise(openings):
                assert a.end < b.start


def test_kinds_are_drawn_by_their_share() -> None:
    random = np.random.default_rng(0)
    names = [draw_kind(random).name for _ in range(2000)]
    for kind in KINDS:
        assert names.count(kind.name) / 2000 == pytest.approx(kind.share, abs=0.04)
