"""What matches say of a set of images, in groups and in words."""

from __future__ import annotations

import pytest

from lotus_recon.sfm.diagnosis import has_baseline, isolated, some, why_no_model
from lotus_recon.sfm.matching import MatchStatistics

NAMES = [f"{i}.jpg" for i in range(6)]
FEATURES = (500, 400, 300, 600, 700, 800)


def statistics(
    pairs: list[tuple[int, int]], flat: list[tuple[int, int]] | None = None, movement: float = 0.1
) -> MatchStatistics:
    return MatchStatistics(FEATURES, dict.fromkeys(pairs, 50), frozenset(flat or []), movement)


def test_the_largest_group_comes_first_and_the_rest_is_isolated() -> None:
    found = statistics([(0, 1), (3, 4), (2, 4)])
    assert found.groups() == [[2, 3, 4], [0, 1], [5]]
    assert isolated(NAMES, found) == ["0.jpg", "1.jpg", "5.jpg"]
    assert isolated(NAMES, statistics([])) == NAMES


def test_a_baseline_needs_movement_and_one_pair_that_no_homography_explains() -> None:
    pairs = [(0, 1), (1, 2)]
    assert has_baseline(statistics(pairs))
    assert has_baseline(statistics(pairs, flat=[(0, 1)]))
    assert not has_baseline(statistics(pairs, flat=pairs))
    assert not has_baseline(statistics(pairs, movement=0.004))
    assert has_baseline(statistics([], movement=0.0)), "nothing is known"


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (statistics([]), "no two photos show the same place"),
        (statistics([(0, 1)], movement=0.001), "all alike"),
        (statistics([(0, 1), (1, 2)], flat=[(0, 1), (1, 2)]), "one homography explains every pair"),
        (statistics([(0, 1), (2, 3), (4, 5)]), "overlap in pairs only"),
        (statistics([(0, 1), (1, 2)]), "do not agree on any arrangement"),
    ],
)
def test_every_cause_is_told(found: MatchStatistics, cause: str) -> None:
    message = why_no_model(NAMES, found, registered=2)
    assert message.startswith("only 2 of 6 photos could be registered: ")
    assert cause in message
    assert "6 photos with 550 features in the median (fewest: 300 in 2.jpg)" in message


def test_few_features_are_the_first_cause() -> None:
    few = MatchStatistics((10, 199, 20, 0, 3, 4), {(0, 1): 20}, frozenset(), 0.1)
    assert "hardly any features" in why_no_model(NAMES, few)
    assert why_no_model(NAMES, few).startswith("none of the 6 photos")


def test_long_lists_of_names_are_cut() -> None:
    names = [str(i) for i in range(10)]
    assert some(names[:8]) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert some(names) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_who_uses_a_turntable_is_told_of_the_background() -> None:
    """It stands still, and so, by its matches, does the camera."""
    every = [(i, j) for i in range(6) for j in range(i)]
    for still in (statistics(every, movement=0.001), statistics(every, flat=every)):
        assert "mask the background" in why_no_model(NAMES, still)
    assert "mask" not in why_no_model(NAMES, statistics([]))
