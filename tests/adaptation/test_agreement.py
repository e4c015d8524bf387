"""Disagreement of views at undecided pixels, against surfaces that are a known factor apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lotus_recon.adaptation.agreement import disagreement
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import DepthKind, DepthMap
from tests.alignment.analytic import make_scene, true_depth

VIEWS = make_scene(points=10).scene.views[:2]


def save(folder: Path, factors: tuple[float, float], confidence: float = 0.02) -> None:
    """True depth of two views, each by a factor off."""
    for view, factor in zip(VIEWS, factors, strict=True):
        depth = (factor * true_depth(view)).astype(np.float32)
        sure = np.full(depth.shape, confidence, np.float32)
        SceneMaps(folder).save(view, DepthMap(depth, depth > 0, DepthKind.SCENE), sure)


@pytest.mark.parametrize(("factors", "expected"), [((1.0, 1.0), 0.0), ((1.0, 1.05), np.log(1.05)), ((1.0, 2.0), 0.2)])
def test_it_is_the_factor_between_the_surfaces(tmp_path: Path, factors: tuple[float, float], expected: float) -> None:
    save(tmp_path, factors)
    assert disagreement(VIEWS, tmp_path) == pytest.approx(expected, abs=0.01)  # 0.006 is hidden, or at an edge


def test_what_photos_decide_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, (1.0, 1.05), confidence=1.0)
    assert disagreement(VIEWS, tmp_path) is None


def test_nothing_in_common_is_none(tmp_path: Path) -> None:
    save(tmp_path, (1.0, 1.0))
    assert disagreement(VIEWS[:1], tmp_path) is None
