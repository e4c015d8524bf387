"""The learnt scale: planted weights are found again; what ships covers every set of predictors."""

from __future__ import annotations

import importlib.resources
import itertools
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.uncertainty import scale
from lotus_recon.uncertainty.conformal import ROOMS
from lotus_recon.uncertainty.scale import fit, learnt

ALWAYS, OPTIONAL = ("edge", "slant", "doubt", "far"), ("bent", "unmatched", "spread")


def test_planted_weights_are_found() -> None:
    random = np.random.default_rng(0)
    predictors = {
        "a": random.normal(2, 1, 50_000),
        "b": random.uniform(-3, 0, 50_000),
        "idle": random.normal(size=50_000),
    }
    true = np.exp(-4 + 0.7 * predictors["a"] - 0.4 * predictors["b"])
    found = fit(predictors, random.laplace(0, true), ["a", "b", "idle"])
    assert found.weights["a"] == pytest.approx(0.7, abs=0.03)
    assert found.weights["b"] == pytest.approx(-0.4, abs=0.03)
    assert found.weights["idle"] == pytest.approx(0, abs=0.03)
    of_laplace = np.log(10) / 1.645  # nine in ten errors are within ln 10 scales: so many make a standard deviation
    expected = of_laplace * true[:100]
    assert found.of({name: values[:100] for name, values in predictors.items()}) == pytest.approx(expected, rel=0.15)
    assert (found.rooms.source, found.rooms.factor) == (ROOMS, 1)
    assert found.rooms.half_sigmas == pytest.approx(np.log(2) / of_laplace, rel=0.03)


def test_beyond_what_was_learnt_from_the_scale_does_not_go_on() -> None:
    random = np.random.default_rng(0)
    a = random.uniform(0, 1, 10_000)
    found = fit({"a": a}, random.laplace(0, np.exp(a)), ["a"])
    assert found.of({"a": np.array([100.0])}) == pytest.approx(found.of({"a": np.array([found.ranges["a"][1]])}))


@pytest.mark.parametrize("optional", [c for n in range(4) for c in itertools.combinations(OPTIONAL, n)])
def test_every_set_of_predictors_of_a_scene_has_a_scale(optional: tuple[str, ...]) -> None:
    found = learnt("scene", [*ALWAYS, *optional])
    assert found.weights["doubt"] > 0, "depth that other views contradict is worse"
    assert found.weights["edge"] > 0, "depth near a discontinuity is worse"
    assert found.rooms.errors > 10_000


def test_what_is_saved_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = learnt("scene", ALWAYS)
    scale.save(tmp_path / "learnt.json", {"scene": [one]})
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    scale._all_learnt.cache_clear()
    try:
        again = learnt("scene", ALWAYS)
    finally:
        monkeypatch.undo()
        scale._all_learnt.cache_clear()
    assert (again.offset, again.weights, again.rooms) == (one.offset, one.weights, one.rooms)
