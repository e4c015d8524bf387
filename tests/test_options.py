"""What a field says of its values: limits in words and as an interval, and refusals where a group is built."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, Unit

from lotus_recon.limits import LARGEST_INT, Limits, Or
from lotus_recon.options import OptionError, Options, fields_of, leaves_of, nested


@dataclass(frozen=True)
class Group(Options):
    angle: Annotated[float | None, Gt(0), Lt(180), Unit("degrees")] = None
    count: Annotated[int, Interval(ge=1, le=LARGEST_INT)] = 1
    size: Annotated[int, Interval(ge=64, le=99), Or(0)] = 0
    pair: Annotated[list[Annotated[float, Ge(0)]], Len(2, 2)] = field(default_factory=lambda: [0.0, 1.0])
    word: Literal["on", "off"] = "on"
    flag: bool = False
    place: Path | None = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angle": 0}, "angle 0: must be a number in degrees, above 0 and below 180, or none"),
        ({"angle": 180.0}, "angle 180.0: must be a number in degrees, above 0 and below 180, or none"),
        ({"angle": math.nan}, "angle nan: must be a number in degrees, above 0 and below 180, or none"),
        ({"angle": "3"}, "angle 3: must be a number in degrees, above 0 and below 180, or none"),
        ({"count": 2.5}, "count 2.5: must be a whole number, from 1 to 2147483647"),
        ({"count": True}, "count True: must be a whole number, from 1 to 2147483647"),
        ({"count": None}, "count none: must be a whole number, from 1 to 2147483647"),
        ({"count": 2**31}, "count 2147483648: must be a whole number, from 1 to 2147483647"),
        ({"size": 1}, "size 1: must be a whole number, from 64 to 99, or 0"),
        ({"pair": [1.0]}, "pair 1.0: must be a list of 2, each a number, 0 or more"),
        ({"pair": [1.0, -1.0]}, "pair 1.0 -1.0: must be a list of 2, each a number, 0 or more"),
        ({"pair": 1.0}, "pair 1.0: must be a list of 2, each a number, 0 or more"),
        ({"word": "of"}, "word of: must be one of on, off"),
        ({"flag": 1.5}, "flag 1.5: must be true or false"),
    ],
)
def test_a_group_cannot_be_built_with_a_wrong_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Group(**change)
    assert str(caught.value) == message
    with pytest.raises(OptionError):
        replace(Group(), **change)


def test_what_is_allowed_is_kept() -> None:
    group = Group(angle=np.float64(179.9), count=np.int64(3), size=0, pair=[0.0, 5.0], word="off")  # type: ignore[arg-type]
    assert (group.angle, group.count, group.size, group.word) == (179.9, 3, 0, "off")
    assert Group(size=64).size == 64


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("angle", "1e-3", 0.001),
        ("angle", "None", None),
        ("count", "7", 7),
        ("pair", ["1", "2e0"], [1.0, 2.0]),
        ("word", False, "off"),  # as YAML 1.1 reads it
        ("flag", "true", True),
        ("place", "a/b", Path("a/b")),
    ],
)
def test_texts_stand_for_values(name: str, text: Any, value: Any) -> None:
    assert fields_of(Group)[name].parsed(text) == value


@pytest.mark.parametrize(
    ("notes", "words", "interval"),
    [
        ([Gt(0), Lt(180)], "above 0 and below 180", "(0, 180)"),
        ([Ge(0), Lt(1)], "0 or more and below 1", "[0, 1)"),
        ([Gt(0), Le(100)], "above 0 and at most 100", "(0, 100]"),
        ([Ge(0.5), Le(1)], "from 0.5 to 1", "[0.5, 1]"),
        ([Gt(1e-5)], "above 1e-05", "> 1e-05"),
        ([Ge(0)], "0 or more", ">= 0"),
        ([Le(3)], "at most 3", "<= 3"),
        ([Ge(1), Le(LARGEST_INT)], "from 1 to 2147483647", ">= 1"),
        ([Ge(64), Le(99), Or(0)], "from 64 to 99, or 0", "[64, 99] or 0"),
        ([Interval()], "", ""),
    ],
)
def test_limits_in_words(notes: list[Any], words: str, interval: str) -> None:
    limits = Limits.of(notes)
    assert limits is not None
    assert (limits.in_words, limits.as_interval) == (words, interval)
    assert not any(limits.hold(value) for value in (math.nan, math.inf, -math.inf))


def test_no_limits_are_not_all_limits() -> None:
    assert Limits.of([Unit("pixels")]) is None
    every = Limits.of([Interval()])
    assert every is not None
    assert every.hold(-1e300)


def test_leaves_are_those_of_the_mapping() -> None:
    mapping = {"a": {"b": 1, "c": {"d": [2]}}, "e": {}}
    assert dict(leaves_of(mapping)) == {("a", "b"): 1, ("a", "c", "d"): [2], ("e",): {}}
    assert nested(leaves_of(mapping)) == mapping
