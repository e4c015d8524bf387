"""The whole stage on photos whose depth is known to the last digit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon import threads
from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.io.maps import load_arrays, load_prediction, save_prediction
from lotus_recon.mvs.agreement import MATCHED
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.results import MvsResult, ViewStereo
from lotus_recon.mvs.stage import run
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction, Scene, SparsePoints, View
from tests.alignment.analytic import true_depth
from tests.mvs.scenes import OnDisk, bent, sparse_points, views, write, write_aligned

CONFIG = MvsConfig(advanced=AdvancedMvs(sources=4, best_parallax_deg=8.0))


def found(on_disk: OnDisk, out: Path, config: MvsConfig = CONFIG, scene: Scene | None = None) -> MvsResult:
    return run(on_disk.inputs(scene), config, out)


def errors(result: MvsResult, view: View) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    arrays = load_arrays(result.depth_file(view.name))
    return np.abs(arrays["depth"] / true_depth(view) - 1), arrays["confidence"]


def right(result: MvsResult, seen: tuple[View, ...]) -> float:
    """Share of all pixels of all views within a hundredth of the true depth."""
    return float(np.mean([(errors(result, view)[0] < 0.01).mean() for view in seen]))


def contents(result: MvsResult) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(result.folder.iterdir())}


def test_depth_is_where_the_photos_agree_however_bent_the_aligned_maps(tmp_path: Path) -> None:
    seen = views()
    result = found(write(tmp_path, seen, amount=0.06), tmp_path / "out")
    for view in seen:
        error, confidence = errors(result, view)
        assert np.median(error) < 0.1 * np.median(np.abs(bent(view, 0.06) / true_depth(view) - 1))
        assert (error[confidence >= MATCHED] < 0.01).mean() > 0.8
    assert [report.status for report in result.views] == ["matched"] * 5
    assert [report.sources for report in result.views] == [4] * 5
    assert all(report.matched is not None and report.matched > 0.85 for report in result.views)
    assert MvsResult.load(tmp_path / "out") == result
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mvs.json",
        *(f"{view.stem}.npz" for view in seen),
    }


def test_the_aligned_depth_does_not_decide(tmp_path: Path) -> None:
    """Right, the same everywhere, or absent: as many pixels are right."""
    seen, shares = views(), []
    on_disk = write(tmp_path, seen, amount=0.0, points=sparse_points())
    for kind in ("right", "constant", "absent"):
        if kind == "constant":
            for view in seen:
                write_aligned(tmp_path, view, np.full((view.camera.height, view.camera.width), 4.5))
        if kind == "absent":
            shutil.rmtree(on_disk.aligned)
        shares.append(right(found(on_disk, tmp_path / kind), seen))
    assert min(shares) > 0.8
    assert max(shares) - min(shares) <= 0.02


def test_later_passes_improve_the_depth(tmp_path: Path) -> None:
    seen = views()
    on_disk, medians = write(tmp_path, seen), []
    for passes in (1, 2):
        config = replace(CONFIG, advanced=replace(CONFIG.advanced, passes=passes))
        result = found(on_disk, tmp_path / str(passes), config)
        medians.append(np.mean([np.median(errors(result, view)[0]) for view in seen]))
    assert medians[1] < 0.85 * medians[0]


def test_a_view_without_an_aligned_map_gets_depth_too(tmp_path: Path) -> None:
    seen = views()
    on_disk = write(tmp_path, seen, points=sparse_points())
    (on_disk.aligned / f"{seen[2].stem}.npz").unlink()
    result = found(on_disk, tmp_path / "out")
    assert result.views[2].status == "matched"
    assert result.views[2].median_before is None
    error, _ = errors(result, seen[2])
    assert (error < 0.01).mean() > 0.8


def test_maps_carry_normals_and_confidence(tmp_path: Path) -> None:
    seen = views(3)
    result = found(write(tmp_path, seen), tmp_path / "out")
    prediction = load_prediction(result.depth_file(seen[1].name))
    assert prediction.depth is not None
    assert prediction.depth.kind is DepthKind.SCENE
    assert prediction.normals is not None
    expected, known = normals_from_depth(prediction.depth.values, prediction.depth.valid, seen[1].camera)
    both = known & prediction.normals.valid
    assert both.mean() > 0.9
    assert angle_deg(expected[both], prediction.normals.values[both]).max() < 0.1
    confidence = load_arrays(result.depth_file(seen[1].name))["confidence"]
    assert ((confidence > 0) == prediction.depth.valid).all()
    levels = (confidence == 0) | (confidence == np.float32(FILLED_CONFIDENCE)) | (confidence >= MATCHED)
    assert levels.all()
    assert confidence.max() <= 1
    report = result.views[1]
    assert report.matched == pytest.approx((confidence >= MATCHED).mean())
    assert report.filled == pytest.approx((confidence == np.float32(FILLED_CONFIDENCE)).mean())


def test_exposure_that_jumps_has_little_effect(tmp_path: Path) -> None:
    seen = views()
    even = found(write(tmp_path / "even", seen), tmp_path / "even out")
    jumping = found(write(tmp_path / "jumping", seen, gains={1: 0.6, 3: 1.3}), tmp_path / "jumping out")
    assert right(jumping, seen) > right(even, seen) - 0.05


def test_pixels_that_a_mask_excludes_stay_without_depth(tmp_path: Path) -> None:
    seen = views(3)
    masked = np.zeros((seen[0].camera.height, seen[0].camera.width), bool)
    masked[30:60, 40:90] = True
    result = found(write(tmp_path, seen, masked={1: masked}), tmp_path / "out")
    arrays = load_arrays(result.depth_file(seen[1].name))
    assert not arrays["depth_valid"][masked].any()
    assert arrays["depth_valid"][~masked].mean() > 0.98
    assert (arrays["confidence"][masked] == 0).all()
    report = result.views[1]
    assert report.matched == pytest.approx((arrays["confidence"] >= MATCHED)[~masked].mean())


def test_a_wrong_pose_among_good_ones_is_excluded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = views(6)
    on_disk = write(tmp_path, seen)
    pose = seen[2].cam_from_world.copy()
    pose[:3, 3] += [0.5, -0.4, 0.3]
    spoiled = Scene((*seen[:2], replace(seen[2], cam_from_world=pose), *seen[3:]), on_disk.scene.points)
    with caplog.at_level(logging.WARNING):
        result = found(on_disk, tmp_path / "out", scene=spoiled)
    assert [report.status for report in result.views] == ["matched"] * 2 + ["excluded"] + ["matched"] * 3
    assert not result.depth_file(seen[2].name).exists()
    assert [record.getMessage().split(" is excluded")[0] for record in caplog.records] == [seen[2].name]
    shares = [report.agreement for report in result.views if report.agreement is not None]
    assert f"other views agree with {100 * shares[2]:.0f} % of what it shows" in caplog.text
    assert f"(median of this scene: {100 * np.median(shares):.0f} %)" in caplog.text
    assert right(result, (*seen[:2], *seen[3:])) > 0.75


def test_two_photos_are_enough(tmp_path: Path) -> None:
    seen = views(2, step=0.6)
    result = found(write(tmp_path, seen), tmp_path / "out")
    assert right(result, seen) > 0.7


def test_a_view_that_no_other_overlaps_keeps_its_aligned_depth(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = views(2)
    turned = np.eye(4)
    turned[:3, :3] = [[np.cos(0.1), 0, np.sin(0.1)], [0, 1, 0], [-np.sin(0.1), 0, np.cos(0.1)]]
    pair = (seen[0], replace(seen[1], cam_from_world=turned @ seen[0].cam_from_world))
    on_disk = write(tmp_path, pair)
    (on_disk.aligned / f"{pair[1].stem}.npz").unlink()
    with caplog.at_level(logging.WARNING):
        result = found(on_disk, tmp_path / "out")
    assert [report.status for report in result.views] == ["no_sources"] * 2
    arrays = load_arrays(result.depth_file(pair[0].name))
    np.testing.assert_allclose(arrays["depth"], bent(pair[0], 0.06), rtol=1e-5)
    assert (arrays["confidence"] == np.float32(FILLED_CONFIDENCE)).all()
    assert f"{pair[0].name} keeps its aligned depth" in caplog.text
    assert not result.depth_file(pair[1].name).exists()
    assert f"{pair[1].name} gets no depth" in caplog.text


def outliers(count: int) -> SparsePoints:
    """Points that the first two views see right before them, where nothing is."""
    xy = np.random.default_rng(0).uniform([10, 10], [150, 110], (count, 2))
    xyz = np.column_stack([np.zeros((count, 2)), np.full(count, 0.5)])
    which = np.arange(count)
    return SparsePoints(
        xyz,
        np.zeros((count, 3), np.uint8),
        np.full(count, 0.5),
        np.concatenate([which, which]),
        np.repeat([0, 1], count),
        np.concatenate([xy, xy]),
    )


def joined(first: SparsePoints, second: SparsePoints) -> SparsePoints:
    names = ("xyz", "rgb", "error_px", "obs_view", "obs_xy")
    return SparsePoints(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names},
        obs_point=np.concatenate([first.obs_point, second.obs_point + len(first.xyz)]),
    )


def test_held_out_points_are_scored_and_never_used(tmp_path: Path) -> None:
    """Wrong ones change nothing but the scores, unless the search may use them."""
    good, wrong = sparse_points(3), outliers(200)
    on_disk = write(tmp_path, views(3), points=good)
    without = found(on_disk, tmp_path / "without")
    spoiled = Scene(on_disk.scene.views, joined(good, wrong))
    inputs = replace(on_disk.inputs(spoiled), scored_points=np.arange(len(good.xyz) + 200) >= len(good.xyz))
    kept = run(replace(inputs, held_out=True), CONFIG, tmp_path / "held out")
    used = run(inputs, CONFIG, tmp_path / "used")
    for view in on_disk.scene.views:
        expected = without.depth_file(view.name).read_bytes()
        assert kept.depth_file(view.name).read_bytes() == expected
    name = on_disk.scene.views[0].name
    assert used.depth_file(name).read_bytes() != without.depth_file(name).read_bytes()
    assert [report.points > 150 for report in kept.views] == [True, True, False]
    assert kept.held_out
    assert not used.held_out
    assert kept.views[0].median_after is not None
    assert kept.views[0].median_after > 1


def test_scores_are_errors_at_the_points(tmp_path: Path) -> None:
    seen = views(3)
    result = found(write(tmp_path, seen, points=sparse_points(3)), tmp_path / "out")
    for report in result.views:
        assert report.points > 100
        assert report.median_before is not None
        assert 0.01 < report.median_before < 0.06  # the aligned maps are bent by up to 0.06
        assert report.median_after is not None
        assert report.median_after < 0.2 * report.median_before


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    on_disk = write(tmp_path, views(3))
    files = []
    for limit in (1, 3):
        threads.set_thread_limit(limit)
        files.append(contents(found(on_disk, tmp_path / str(limit))))
    threads.set_thread_limit(None)
    assert files[0] == files[1]


def test_photos_can_be_compared_at_a_smaller_size(tmp_path: Path) -> None:
    seen = views(3)
    small = replace(CONFIG, advanced=replace(CONFIG.advanced, match_size=80))
    result = found(write(tmp_path, seen), tmp_path / "out", small)
    error, _ = errors(result, seen[1])
    assert error.shape == (seen[1].camera.height, seen[1].camera.width)
    assert np.median(error) < 0.3 * np.median(np.abs(bent(seen[1], 0.06) / true_depth(seen[1]) - 1))


def without_photo(on_disk: OnDisk) -> None:
    (on_disk.root / "images" / on_disk.scene.views[0].name).unlink()


def half_a_map(on_disk: OnDisk) -> None:
    path = on_disk.aligned / f"{on_disk.scene.views[0].stem}.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def small_normals(on_disk: OnDisk) -> None:
    normals = np.zeros((60, 80, 3), np.float32)
    normals[..., 2] = -1
    path = on_disk.root / "predicted" / f"{on_disk.scene.views[0].stem}.npz"
    save_prediction(path, Prediction(None, NormalMap(normals, np.ones((60, 80), bool))))


def map_that_is_not_aligned(on_disk: OnDisk) -> None:
    depth = DepthMap(np.ones((120, 160), np.float32), np.ones((120, 160), bool), DepthKind.AFFINE)
    save_prediction(on_disk.aligned / f"{on_disk.scene.views[0].stem}.npz", Prediction(depth, None))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_photo, r"00\.jpg"),
        (half_a_map, r"aligned/00\.npz cannot be read"),
        (small_normals, "normals is 80x60 pixels"),
        (map_that_is_not_aligned, "AFFINE depth; allowed: SCENE"),
    ],
)
def test_broken_inputs_are_named(tmp_path: Path, damage: Callable[[OnDisk], None], message: str) -> None:
    on_disk = write(tmp_path, views(2))
    damage(on_disk)
    with pytest.raises(InputError, match=message):
        found(on_disk, tmp_path / "out")


def test_a_report_comes_back_and_a_broken_one_is_named(tmp_path: Path) -> None:
    stereo = ViewStereo("a/b.jpg", "matched", 3, 0.5, 0.25, 0.125, 0.75, 7, 0.1, 0.2, 0.01, 0.02)
    result = MvsResult(tmp_path, True, (stereo, ViewStereo("c.png", "excluded", agreement=0.1)))
    result.save()
    assert MvsResult.load(tmp_path) == result
    assert result.depth_file("a/b.jpg") == tmp_path / "a/b.npz"
    (tmp_path / "mvs.json").write_text('{"held_out": true, "views": [{"nam": 1}]}')
    with pytest.raises(InputError, match=r"mvs\.json cannot be read"):
        MvsResult.load(tmp_path)


@pytest.mark.parametrize(("predicted_error", "status"), [(1e-5, "aligned"), (0.05, "matched"), (None, "matched")])
def test_predicted_depth_that_is_better_than_stereo_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, predicted_error: float | None, status: str
) -> None:
    """That of a depth sensor, say. Where nothing was held out nobody knows."""
    seen = views()
    inputs = write(tmp_path, seen, points=sparse_points()).inputs(None)
    errors_of = {} if predicted_error is None else {view.name: predicted_error for view in seen}
    every_point = np.ones(len(inputs.scene.points.xyz), bool)
    with caplog.at_level(logging.WARNING):
        result = run(replace(inputs, predicted_error=errors_of, scored_points=every_point), CONFIG, tmp_path / "out")
    assert {report.status for report in result.views} == {status}
    kept = status == "aligned"
    assert ("aligned depth is kept" in caplog.text) == kept
    if kept:
        arrays = load_arrays(result.depth_file(seen[0].name))
        np.testing.assert_allclose(arrays["depth"], bent(seen[0], 0.06), rtol=1e-5)
        assert (arrays["confidence"] == np.float32(0.45)).all()
