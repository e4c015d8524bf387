"""Why a set of photos could not be reconstructed, in words, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from lotus_recon.sfm.matching import MatchStatistics

_SHOWN = 8
_FEW_FEATURES = 200
_MOST_PAIRS = 0.8  # share of the pairs that speaks for all; a few have wrong matches
_NO_PARALLAX = 0.0015  # longer edges (3 px of 2000) that rotations may leave of matches for want of parallax
_TURNED_ADVICE = (
    "Move the camera sideways between photos, by a tenth of the distance or so; for depth of a single viewpoint use "
    "pipelines.single_view."
)
_TURNTABLE = "On a turntable, mask the background, which says that the camera stands still (--masks)."
_ALIKE = 0.005  # movement in longer edges below which photos count as taken from one place


def why_no_model(names: Sequence[str], statistics: MatchStatistics, registered: int = 0) -> str:
    """The message of the error: what was found, what that means, which options to try."""
    count = f"only {registered} of {len(names)}" if registered else f"none of the {len(names)}"
    cause, advice = _cause(names, statistics)
    return f"{count} photos could be registered: {cause}. {describe(names, statistics)}. {advice}"


def _cause(names: Sequence[str], statistics: MatchStatistics) -> tuple[str, str]:
    inliers = statistics.inliers
    if max(statistics.features) < _FEW_FEATURES:
        return (
            "the photos have hardly any features (blurred, dark, without texture, or masked out)",
            "Try sharper photos, a larger --sfm-max-size, masks that leave more, or known poses with --poses.",
        )
    if not inliers:
        return (
            "no two photos show the same place, as far as features tell",
            "Take photos that overlap by two thirds; with --matcher exhaustive every pair is compared.",
        )
    if _alike(statistics):
        return (
            "the photos are all alike: the camera hardly moved, so there is no baseline to measure depth with",
            f"Move the camera sideways between photos; for a single viewpoint use pipelines.single_view. {_TURNTABLE}",
        )
    if turned_on_the_spot(statistics):
        return turned(statistics), _TURNED_ADVICE
    if not has_baseline(statistics):
        return (
            f"one homography explains {_share(statistics)}: the camera turned without moving, or everything seen is "
            "one flat wall",
            f"Move the camera sideways between photos, or give --intrinsics or --focal-px, or --poses. {_TURNTABLE}",
        )
    if len(statistics.groups()[0]) == 2 and len(names) > 2:
        return (
            "the photos overlap in pairs only",
            "Take more photos in between, or try --sfm-max-size 3200 and --matcher exhaustive.",
        )
    return (
        "the matches do not agree on any arrangement of the cameras",
        "Try --focal-px or --focal-35mm, a larger --sfm-max-size, --matcher exhaustive or --mapper global, or --poses.",
    )


def _alike(statistics: MatchStatistics) -> bool:
    return bool(statistics.inliers) and statistics.movement < _ALIKE


def has_baseline(statistics: MatchStatistics) -> bool:
    """False when the matches say that the camera did not move: all photos alike, or nearly each pair one homography."""
    return not (_alike(statistics) or statistics.flat_share >= _MOST_PAIRS)


def turned_on_the_spot(statistics: MatchStatistics) -> bool:
    """Whether nearly every pair is one homography, and rotations about one point explain the matches of all."""
    fit = statistics.rotation
    explained = fit is not None and fit.is_possible and fit.residual < _NO_PARALLAX
    return explained and statistics.flat_share >= _MOST_PAIRS and not _alike(statistics)


def turned(statistics: MatchStatistics) -> str:
    """Why photos of a camera that turned have no depth."""
    return (
        f"the camera turned without moving: rotations alone explain the matches of {_share(statistics)}, so there is "
        "no baseline to measure depth with"
    )


def why_no_depth(names: Sequence[str], statistics: MatchStatistics) -> str:
    """The message of the error where photos could be registered, and were all taken from one point."""
    return f"{turned(statistics)}. {describe(names, statistics)}. {_TURNED_ADVICE}"


def _share(statistics: MatchStatistics) -> str:
    flat, pairs = sum(pair in statistics.no_baseline for pair in statistics.places), len(statistics.places)
    return "every pair" if flat == pairs else f"{flat} of {pairs} pairs"


def components(names: Sequence[str], statistics: MatchStatistics) -> list[list[str]]:
    """Names of the photos of each group of two or more that matches connect, the largest group first."""
    return [[names[index] for index in group] for group in statistics.groups() if len(group) > 1]


def component_names(groups: Sequence[Sequence[str]]) -> str:
    """Groups of photos in words: ``a_* (5), b_* (5)``; the first name and dots where there is no common beginning."""
    return ", ".join(f"{group_name(group)} ({len(group)})" for group in groups)


def group_name(group: Sequence[str]) -> str:
    """What the names of a group begin with, without the digits of a number that was cut, or its first name."""
    begins = "".join(same[0] for same in takewhile(lambda letters: len(set(letters)) == 1, zip(*group, strict=False)))
    begins = begins.rstrip("0123456789")
    return f"{begins}*" if begins else f"{group[0]}, ..."


def describe(names: Sequence[str], statistics: MatchStatistics) -> str:
    """Counts of photos, features, pairs, and the photos without matches."""
    fewest = int(np.argmin(statistics.features))
    median = int(np.median(statistics.features))
    text = (
        f"{len(names)} photos with {median} features in the median (fewest: {statistics.features[fewest]} in "
        f"{names[fewest]}), {len(statistics.inliers)} pairs with verified matches"
    )
    if statistics.inliers:
        text += f" ({int(np.median(list(statistics.inliers.values())))} each in the median)"
    alone = isolated(names, statistics)
    return text + (f", isolated: {some(alone)}" if alone else "")


def isolated(names: Sequence[str], statistics: MatchStatistics) -> list[str]:
    """Names of the photos outside the largest group connected by matches."""
    groups = statistics.groups()
    if len(groups[0]) == 1:
        return list(names)
    return sorted(names[index] for group in groups[1:] for index in group)


def some(names: Sequence[str]) -> str:
    """The first of the names and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
