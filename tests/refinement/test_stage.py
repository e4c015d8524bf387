"""The whole stage on photos whose depth is known to the last digit."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg, normals_from_depth
from lotus_recon.io.maps import load_arrays, load_prediction, save_prediction
from lotus_recon.refinement.config import AdvancedRefinement, RefinementConfig
from lotus_recon.refinement.results import RefinementResult
from lotus_recon.refinement.stage import run
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction, Scene, View
from tests.alignment.analytic import true_depth
from tests.refinement.scenes import OnDisk, bent, views, write

CONFIG = RefinementConfig(
    advanced=AdvancedRefinement(sources=4, best_parallax_deg=8.0, match_px=0.05)
)  # photos without noise
AMOUNT = 0.06
ERROR = 0.05  # what the alignment says of it


def refined(
    on_disk: OnDisk, out: Path, config: RefinementConfig = CONFIG, scene: Scene | None = None
) -> RefinementResult:
    out.mkdir(parents=True)
    return run(on_disk.inputs(scene, ERROR), config, out)


def errors(result: RefinementResult, view: View) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    arrays = load_arrays(result.depth_file(view.name))
    return np.abs(arrays["depth"] / true_depth(view) - 1), arrays["confidence"]


def before(view: View) -> float:
    return float(np.median(np.abs(bent(view, AMOUNT) / true_depth(view) - 1)))


def test_depth_moves_to_where_the_photos_agree(tmp_path: Path) -> None:
    seen = views()
    result = refined(write(tmp_path, seen, AMOUNT), tmp_path / "out")
    for view in seen:
        error, confidence = errors(result, view)
        assert np.median(error) < 0.4 * before(view)
        assert np.median(error[confidence > 0.7]) < 0.2 * before(view)
    assert [report.status for report in result.views] == ["refined"] * 5
    assert all(report.confident is not None and report.confident > 0.4 for report in result.views)
    assert RefinementResult.load(tmp_path / "out") == result
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "refinement.json",
        *(f"{view.stem}.npz" for view in seen),
    }


def test_maps_are_predictions_with_normals_and_confidence(tmp_path: Path) -> None:
    seen = views(3)
    result = refined(write(tmp_path, seen, AMOUNT), tmp_path / "out")
    prediction = load_prediction(result.depth_file(seen[1].name))
    assert prediction.depth is not None
    assert prediction.normals is not None
    expected, known = normals_from_depth(prediction.depth.values, prediction.depth.valid, seen[1].camera)
    both = known & prediction.normals.valid
    assert angle_deg(expected[both], prediction.normals.values[both]).max() < 0.1
    confidence = load_arrays(result.depth_file(seen[1].name))["confidence"]
    assert confidence.min() >= CONFIG.advanced.prior_confidence - 1e-6
    assert confidence.max() <= 1


def test_exposure_that_jumps_has_little_effect(tmp_path: Path) -> None:
    seen = views()
    result = refined(write(tmp_path, seen, AMOUNT, gains={1: 0.6, 3: 1.3}), tmp_path / "out")
    for view in seen:
        error, confidence = errors(result, view)
        assert np.median(error[confidence > 0.7]) < 0.3 * before(view)


def test_pixels_without_depth_stay_without(tmp_path: Path) -> None:
    seen = views(3)
    masked = np.zeros((seen[0].camera.height, seen[0].camera.width), bool)
    masked[30:60, 40:90] = True
    result = refined(write(tmp_path, seen, AMOUNT, unknown={1: masked}), tmp_path / "out")
    arrays = load_arrays(result.depth_file(seen[1].name))
    assert not arrays["depth_valid"][masked].any()
    assert arrays["depth_valid"][~masked].all()
    assert (arrays["confidence"][masked] == 0).all()


def test_a_wrong_pose_among_good_ones_is_excluded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = views(6)
    on_disk = write(tmp_path, seen, AMOUNT)
    pose = seen[2].cam_from_world.copy()
    pose[:3, 3] += [0.5, -0.4, 0.3]
    spoiled = Scene((*seen[:2], replace(seen[2], cam_from_world=pose), *seen[3:]), on_disk.scene.points)
    with caplog.at_level(logging.WARNING):
        result = refined(on_disk, tmp_path / "out", scene=spoiled)
    assert [report.status for report in result.views].index("excluded") == 2
    assert [report.status for report in result.views].count("excluded") == 1
    assert not result.depth_file(seen[2].name).exists()
    assert [record.getMessage().split(" is excluded")[0] for record in caplog.records] == [seen[2].name]
    for view in (*seen[:2], *seen[3:]):
        error, confidence = errors(result, view)
        assert np.median(error[confidence > 0.7]) < 0.25 * before(view)


def test_two_photos_are_enough(tmp_path: Path) -> None:
    seen = views(2, step=0.6)
    result = refined(write(tmp_path, seen, AMOUNT), tmp_path / "out")
    for view in seen:
        error, confidence = errors(result, view)
        assert np.median(error[confidence > 0.7]) < 0.4 * before(view)


def test_a_camera_that_only_turned_keeps_its_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen = views(2)
    turned = np.eye(4)
    turned[:3, :3] = [[np.cos(0.1), 0, np.sin(0.1)], [0, 1, 0], [-np.sin(0.1), 0, np.cos(0.1)]]
    pair = (seen[0], replace(seen[1], cam_from_world=turned @ seen[0].cam_from_world))
    with caplog.at_level(logging.WARNING):
        result = refined(write(tmp_path, pair, AMOUNT), tmp_path / "out")
    assert [report.status for report in result.views] == ["no_sources"] * 2
    arrays = load_arrays(result.depth_file(pair[0].name))
    np.testing.assert_allclose(arrays["depth"], bent(pair[0], AMOUNT), rtol=1e-5)
    assert (arrays["confidence"] == np.float32(CONFIG.advanced.prior_confidence)).all()
    assert "keeps its aligned depth" in caplog.text


def test_a_photo_without_depth_is_a_source_all_the_same(tmp_path: Path) -> None:
    seen = views()
    on_disk = write(tmp_path, seen, AMOUNT)
    for view in (seen[1], seen[3]):
        (on_disk.aligned / f"{view.stem}.npz").unlink()
    result = refined(on_disk, tmp_path / "out")
    assert [report.name for report in result.views] == [seen[i].name for i in (0, 2, 4)]
    error, confidence = errors(result, seen[2])
    assert np.median(error[confidence > 0.7]) < 0.25 * before(seen[2])


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    on_disk = write(tmp_path, views(3), AMOUNT)
    files = []
    for name in ("a", "b"):
        result = refined(on_disk, tmp_path / name)
        files.append([result.depth_file(view.name).read_bytes() for view in on_disk.scene.views])
    assert files[0] == files[1]


def test_photos_can_be_compared_at_a_smaller_size(tmp_path: Path) -> None:
    seen = views(3)
    result = refined(
        write(tmp_path, seen, AMOUNT),
        tmp_path / "out",
        replace(CONFIG, advanced=replace(CONFIG.advanced, refine_size=80)),
    )
    error, confidence = errors(result, seen[1])
    assert error.shape == (seen[1].camera.height, seen[1].camera.width)
    assert np.median(error[confidence > 0.7]) < 0.5 * before(seen[1])


def test_predicted_normals_give_the_prior_its_slant(tmp_path: Path) -> None:
    seen = views(3)
    on_disk = write(tmp_path, seen, amount=0.0)
    y, x = np.mgrid[: seen[0].camera.height, : seen[0].camera.width]
    rough = np.exp(0.02 * np.sin(x * 2 * np.pi / 14) * np.sin(y * 2 * np.pi / 14))
    for view in seen:
        depth = true_depth(view)
        everywhere = np.ones(depth.shape, bool)
        bumpy = DepthMap((depth * rough).astype(np.float32), everywhere, DepthKind.SCENE)
        save_prediction(on_disk.aligned / f"{view.stem}.npz", Prediction(bumpy, None))
        normals, known = normals_from_depth(depth, everywhere, view.camera)
        save_prediction(tmp_path / "predicted" / f"{view.stem}.npz", Prediction(None, NormalMap(normals, known)))
    config = replace(
        CONFIG, advanced=replace(CONFIG.advanced, slant_window_px=10.0, max_search_range=0.0041, passes=1)
    )  # too narrow a search to mend it
    inputs = replace(on_disk.inputs(), prediction_dir=tmp_path / "predicted")
    (tmp_path / "out").mkdir()
    result = run(inputs, config, tmp_path / "out")
    depth = load_arrays(result.depth_file(seen[1].name))["depth"]
    truth = true_depth(seen[1])
    assert np.median(np.abs(depth / truth - 1)) < 0.3 * np.median(np.abs(rough - 1))
    small = NormalMap(normals[::2, ::2].copy(), known[::2, ::2].copy())
    save_prediction(tmp_path / "predicted" / f"{seen[0].stem}.npz", Prediction(None, small))
    with pytest.raises(InputError, match="normals is 80x60 pixels"):
        run(inputs, config, tmp_path / "out")


def test_little_memory_gives_the_same(tmp_path: Path) -> None:
    on_disk = write(tmp_path, views(3), AMOUNT)
    tight = replace(CONFIG, advanced=replace(CONFIG.advanced, chunk_gb=0.01))
    one, other = (refined(on_disk, tmp_path / str(i), config) for i, config in enumerate((CONFIG, tight)))
    for view in on_disk.scene.views:
        a, b = (load_arrays(result.depth_file(view.name))["depth"] for result in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_folder_without_maps_is_named(tmp_path: Path) -> None:
    on_disk = write(tmp_path, views(2))
    for view in on_disk.scene.views:
        (on_disk.aligned / f"{view.stem}.npz").unlink()
    with pytest.raises(InputError, match="no aligned depth maps"):
        run(on_disk.inputs(), CONFIG, tmp_path)
