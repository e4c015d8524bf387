"""The stage on exact depth with planted faults: floaters go, what is hidden or seen once stays."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.config import Runtime
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.consistency.stage import ConsistencyResult, Inputs, ViewConsistency, run
from lotus_recon.errors import InputError
from lotus_recon.io.maps import load_arrays, load_prediction, save_prediction
from lotus_recon.types import DepthKind, DepthMap, Prediction, Scene, SparsePoints, View
from tests.alignment.analytic import true_depth, views_on_arc

Maps = list[NDArray[np.float64]]


@pytest.fixture
def views() -> tuple[View, ...]:
    return views_on_arc(5)


@pytest.fixture
def depths(views: tuple[View, ...]) -> Maps:
    return [true_depth(view) for view in views]


def check(
    views: tuple[View, ...], depths: Maps, folder: Path, out: Path, kind: DepthKind = DepthKind.SCENE
) -> ConsistencyResult:
    for view, depth in zip(views, depths, strict=True):
        valid = np.isfinite(depth)
        values = np.where(valid, depth, 0).astype(np.float32)
        save_prediction(folder / f"{view.stem}.npz", Prediction(DepthMap(values, valid, kind), None))
    out.mkdir()
    return run(Inputs(Scene(views, SparsePoints.empty()), folder, Runtime(device="cpu")), ConsistencyConfig(), out)


def kept(result: ConsistencyResult, view: View) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    arrays = load_arrays(result.depth_file(view.name))
    return arrays["depth_valid"], arrays["confidence"]


def test_exact_depth_stays(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    result = check(views, depths, tmp_path / "p", tmp_path / "out")
    for view, report in zip(views, result.views, strict=True):
        valid, confidence = kept(result, view)
        assert report.contradicted < 0.01
        assert valid.mean() > 0.85
        assert report.confirmed + report.unseen + report.contradicted + report.flying == pytest.approx(1)
        assert report.confirmed + report.unseen == pytest.approx(valid.mean())
        assert confidence[valid].min() > 0
        assert confidence.max() <= 1
        assert (confidence[~valid] == 0).all()
        assert np.median(confidence[valid]) > 0.6


def test_a_floater_is_dropped_and_its_neighbours_are_not(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    patch = (slice(20, 35), slice(10, 25))
    clean = check(views, depths, tmp_path / "p", tmp_path / "clean")
    flawed = [d.copy() for d in depths]
    flawed[2][patch] *= 0.7
    result = check(views, flawed, tmp_path / "q", tmp_path / "out")
    valid, _ = kept(result, views[2])
    before, _ = kept(clean, views[2])
    assert before[patch].mean() > 0.8
    assert valid[patch].mean() < 0.02
    outside = np.ones(valid.shape, bool)
    outside[18:37, 8:27] = False
    assert (valid & outside).sum() > 0.99 * (before & outside).sum()
    for i in (0, 1, 3, 4):  # views that look through the floater keep what they see
        assert kept(result, views[i])[0].sum() > 0.97 * kept(clean, views[i])[0].sum()


def test_what_a_ball_hides_from_others_is_not_punished(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    """Only the middle view sees the wall: in all others something stands in front of it."""
    hiding = [np.full(d.shape, 1.0) for d in depths]
    hiding[2] = depths[2]
    result = check(views, hiding, tmp_path / "p", tmp_path / "out")
    valid, confidence = kept(result, views[2])
    assert valid.mean() > 0.85
    assert result.views[2].contradicted < 0.01
    np.testing.assert_allclose(confidence[valid], ConsistencyConfig().advanced.single_view_confidence)


def test_pixels_between_two_depths_fly(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    step = [np.where(np.arange(96) < 48, 2.0, 3.0) * np.ones((72, 1)) for _ in views]
    for depth in step:
        depth[:, 48] = 2.5
    result = check(views[:1], step[:1], tmp_path / "p", tmp_path / "out")
    valid, _ = kept(result, views[0])
    assert not valid[:, 47:50].any()
    assert valid[:, :46].all()
    assert valid[:, 51:].all()


def test_a_lonely_view_passes_with_a_warning(
    views: tuple[View, ...], depths: Maps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        result = check(views[:1], depths[:1], tmp_path / "p", tmp_path / "out")
    valid, confidence = kept(result, views[0])
    assert valid.mean() > 0.85
    np.testing.assert_allclose(confidence[valid], ConsistencyConfig().advanced.single_view_confidence)
    assert any("overlaps no other" in message for message in caplog.messages)


def test_a_view_without_a_valid_pixel_passes(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    """As alignment leaves it when all depth of a view lies beyond the scene."""
    clean = check(views[:2], depths[:2], tmp_path / "p", tmp_path / "clean")
    result = check(views[:3], [*depths[:2], np.full_like(depths[2], np.nan)], tmp_path / "q", tmp_path / "out")
    assert not kept(result, views[2])[0].any()
    without_count = [[replace(view, neighbours=0) for view in one.views[:2]] for one in (result, clean)]
    assert without_count[0] == without_count[1], "it has no say"


def test_more_witnesses_give_more_confidence(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    few = check(views[1:3], depths[1:3], tmp_path / "p", tmp_path / "few")
    many = check(views, depths, tmp_path / "q", tmp_path / "many")
    (valid, low), (_, high) = kept(few, views[2]), kept(many, views[2])
    assert np.median(high[valid]) > np.median(low[valid]) > ConsistencyConfig().advanced.single_view_confidence


def test_files_are_read_back_and_repeatable(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    noisy = [d * (1 + 0.003 * np.random.default_rng(i).standard_normal(d.shape)) for i, d in enumerate(depths)]
    results = [check(views, noisy, tmp_path / "p", tmp_path / name) for name in "ab"]
    assert ConsistencyResult.load(tmp_path / "a") == results[0]
    assert results[0].kind is DepthKind.SCENE
    assert results[0].agreement == pytest.approx(5 * 0.003 * np.sqrt(2), rel=0.2)
    for view in views:
        first, second = (tmp_path / name / f"{view.stem}.npz" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert load_prediction(first).depth is not None


def test_metric_depth_is_taken_at_its_word(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    depths[2][20:35, 10:25] *= 0.7
    result = check(views, depths, tmp_path / "p", tmp_path / "out", DepthKind.METRIC)
    valid, confidence = kept(result, views[2])
    assert valid.all()
    assert (confidence == 1).all()
    assert result.views[2] == ViewConsistency("02.jpg", 0, 0.0, 1.0, 0.0, 0.0)
    assert result.agreement == 0
    arrays = load_arrays(result.depth_file(views[2].name))
    np.testing.assert_array_equal(arrays["depth"], depths[2].astype(np.float32))


def test_refused_inputs(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="AFFINE depth; allowed: SCENE, METRIC"):
        check(views, depths, tmp_path / "p", tmp_path / "a", DepthKind.AFFINE)
    with pytest.raises(InputError, match="no aligned depth maps"):
        check((), [], tmp_path / "empty", tmp_path / "b")
    with pytest.raises(InputError, match="must agree"):
        check(views[:1], [np.ones((4, 4))], tmp_path / "q", tmp_path / "c")


def test_passed_through_metric_depth_is_kept_whole(views: tuple[View, ...], depths: Maps, tmp_path: Path) -> None:
    depths[0][10:20, 10:20] *= 0.5  # a floater, which a sensor is allowed
    result = check(views, depths, tmp_path / "p", tmp_path / "out", DepthKind.METRIC)
    for view, depth in zip(views, depths, strict=True):
        valid, confidence = kept(result, view)
        assert (valid == np.isfinite(depth)).all()
        assert (confidence == valid).all()


def test_a_view_that_others_contradict_is_warned_of(
    views: tuple[View, ...], depths: Maps, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        check(views, [*depths[:2], 0.7 * depths[2], *depths[3:]], tmp_path / "p", tmp_path / "out")
    assert [message for message in caplog.messages if "contradict" in message] != []
    assert all("02.jpg" in message for message in caplog.messages)


@pytest.mark.parametrize("scale", [0.01, 300.0])
def test_the_unit_of_the_scene_does_not_matter(
    views: tuple[View, ...], depths: Maps, tmp_path: Path, scale: float
) -> None:
    flawed = [d.copy() for d in depths]
    flawed[2][20:35, 10:25] *= 0.7
    moved = []
    for view in views:
        pose = view.cam_from_world.copy()
        pose[:3, 3] *= scale
        moved.append(replace(view, cam_from_world=pose))
    one = check(views, flawed, tmp_path / "p", tmp_path / "one")
    other = check(tuple(moved), [scale * d for d in flawed], tmp_path / "q", tmp_path / "other")
    assert other.agreement == pytest.approx(one.agreement, rel=0.02)
    for view in views:
        (valid, confidence), (valid_too, confidence_too) = kept(one, view), kept(other, view)
        assert (valid != valid_too).mean() < 0.002
        np.testing.assert_allclose(confidence[valid & valid_too], confidence_too[valid & valid_too], atol=0.02)
