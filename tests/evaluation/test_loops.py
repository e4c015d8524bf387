"""Predicting and scoring a set whose every number is known: resuming, shards, padding, aggregation, files, pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.calibration.stage import depth_as_written
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig
from lotus_recon.evaluation.error_images import write_worst
from lotus_recon.evaluation.metrics import depth_metrics, normal_metrics
from lotus_recon.evaluation.pooled import AnglePool
from lotus_recon.evaluation.predict import claim, crop, indices_of, pad, padding, parse_shard, predict_set
from lotus_recon.evaluation.score import score_set
from lotus_recon.evaluation.tables import comparison, published, write_results
from lotus_recon.io.images import read_rgb
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.types import DepthMap, NormalMap, Prediction
from tests.evaluation.sets import SIZE, ArraySet, KnowingModel, depth_of, normals_of

CONFIG = MapsConfig(workers=2, worst=2)


def predicted(tmp_path: Path, count: int = 3) -> tuple[ArraySet, Path]:
    benchmark = ArraySet(count)
    predict_set(benchmark, KnowingModel(), tmp_path / "maps", range(count), seed=0)
    return benchmark, tmp_path / "maps"


def spoil(path: Path, factor: float, columns: int = SIZE[1]) -> None:
    """Make a stored prediction wrong: some of its disparities grow, its normals turn."""
    stored = load_prediction(path)
    assert stored.depth is not None
    assert stored.normals is not None
    values = stored.depth.values.copy()
    values[5:9, :columns] *= factor
    turned = stored.normals.values @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    save_prediction(path, Prediction(replace(stored.depth, values=values), NormalMap(turned, stored.normals.valid), {}))


def test_perfect_maps_have_no_error(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    depth = score_set(benchmark, "depth", folder, 3, replace(CONFIG, protocol="both"))
    assert depth.overall["abs_rel"] < 1e-5
    assert depth.overall["disparity_rel"] < 1e-5
    assert (depth.pixels, depth.coverage) == (3 * 19 * 30, 1.0)
    normals = score_set(benchmark, "normals", folder, 3, CONFIG)
    assert normals.overall["mean"] < 1e-2


def test_depth_is_averaged_over_photos_and_normals_over_pixels(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    spoil(folder / "scene/01.npz", 3.0)
    depth = score_set(benchmark, "depth", folder, 3, CONFIG)
    stored = load_prediction(folder / "scene/01.npz")
    truth = benchmark.truth(1)
    assert stored.depth is not None
    assert stored.normals is not None
    assert truth.depth_valid is not None
    assert truth.normals_valid is not None
    one = depth_metrics(stored.depth.values, depth_of(1), truth.depth_valid, "affine_disparity", 0.5, 10.0)
    written = depth_as_written(stored, OutputConfig()).values
    one["abs_rel_one_scale"] = depth_metrics(written, depth_of(1), truth.depth_valid, "scale", 0.5, 10.0)["abs_rel"]
    assert depth.photos["scene/01"] == pytest.approx(one)
    assert depth.overall["rmse"] == pytest.approx((one["rmse"] + 0 + 0) / 3, abs=1e-4)
    assert depth.worst(1) == ["scene/01"]
    normals = score_set(benchmark, "normals", folder, 3, CONFIG)
    turned = normal_metrics(stored.normals.values, normals_of(1), truth.normals_valid)
    assert normals.overall["mean"] == pytest.approx(turned["mean"] / 3, abs=1e-3)
    assert normals.overall["median"] < 0.1  # two thirds of the pixels are right, although one photo is all wrong
    assert turned["median"] > 5


def test_the_pool_has_the_exact_median_and_shares() -> None:
    rng = np.random.default_rng(0)
    for sizes in ((7, 4), (6, 1), (1, 1)):
        parts = [rng.uniform(0, 180, size) for size in sizes]
        pool = AnglePool()
        for part in parts:
            pool.add(part)
        everything = np.concatenate(parts)
        scores = pool.scores()
        assert scores["median"] == pytest.approx(np.median(everything), abs=1e-5)
        assert scores["mean"] == pytest.approx(everything.mean())
        assert scores["rmse"] == pytest.approx(np.sqrt((everything**2).mean()))
        assert scores["pct_30"] == pytest.approx(100 * (everything < 30).mean())
    with pytest.raises(InputError, match="no valid pixel"):
        AnglePool().scores()


def test_an_interrupted_prediction_goes_on_and_shards_make_the_whole(tmp_path: Path) -> None:
    benchmark, model = ArraySet(5), KnowingModel()
    assert predict_set(benchmark, model, tmp_path, indices_of(5, parse_shard("1/2")), 0) == 3
    assert predict_set(benchmark, model, tmp_path, indices_of(5, parse_shard("2/2")), 0) == 2
    assert len(model.seen) == 5
    assert predict_set(benchmark, model, tmp_path, range(5), 0) == 0
    (tmp_path / "scene/03.npz").unlink()
    assert predict_set(benchmark, model, tmp_path, range(5), 0) == 1
    assert score_set(benchmark, "depth", tmp_path, 5, CONFIG).overall["abs_rel"] < 1e-5


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_bad_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shard"):
        parse_shard(text)


def test_maps_of_another_model_are_not_mixed(tmp_path: Path) -> None:
    claim(tmp_path, {"model": "a", "seed": 0})
    claim(tmp_path, {"model": "a", "seed": 0})
    with pytest.raises(InputError, match="seed 0, now 1"):
        claim(tmp_path, {"model": "a", "seed": 1})


def test_padding_is_dsines_and_is_taken_off_again(tmp_path: Path) -> None:
    assert padding(480, 640, 32) == (0, 0, 0, 0)
    assert padding(436, 1024, 32) == (6, 6, 0, 0)  # Sintel: 448 rows
    assert padding(33, 31, 32) == (15, 16, 0, 1)
    rgb = np.full((33, 31, 3), 5, np.uint8)
    padded = pad(rgb, 32)
    assert padded.shape == (64, 32, 3)
    assert (padded[15:48, :31] == 5).all()
    assert padded.sum() == rgb.sum()  # black around
    values = np.zeros((64, 32), np.float32)
    values[15:48, :31] = 1
    depth = DepthMap(values, np.ones((64, 32), bool), KnowingModel().predict(np.zeros((*SIZE, 3), np.uint8)).depth.kind)  # type: ignore[union-attr]
    cropped = crop(Prediction(depth, None), 33, 31).depth
    assert cropped is not None
    assert (cropped.values == 1).all()
    model, benchmark = KnowingModel(), ArraySet(2, padding=32)
    predict_set(benchmark, model, tmp_path, range(2), 0)
    assert model.seen[0].shape == (32, 32, 3)
    assert score_set(benchmark, "normals", tmp_path, 2, CONFIG).overall["mean"] < 1e-2


def test_missing_maps_and_holes_are_refused_or_reported(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    stored = load_prediction(folder / "scene/02.npz").depth
    assert stored is not None
    valid = stored.valid.copy()
    valid[3, :6] = False
    save_prediction(folder / "scene/02.npz", Prediction(replace(stored, valid=valid), None, {}))
    with pytest.raises(InputError, match=r"scene/02: 6 of 570 .*skip"):
        score_set(benchmark, "depth", folder, 3, CONFIG)
    scores = score_set(benchmark, "depth", folder, 3, replace(CONFIG, holes="skip"))
    assert scores.coverage == pytest.approx(1 - 6 / (3 * 570))
    with pytest.raises(InputError, match="no normals"):
        score_set(benchmark, "normals", folder, 3, CONFIG)
    (folder / "scene/00.npz").unlink()
    with pytest.raises(InputError, match=r"1 of 3 photos have no prediction.*00\.npz"):
        score_set(benchmark, "depth", folder, 3, CONFIG)


def test_files_hold_what_was_scored(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    spoil(folder / "scene/01.npz", 3.0)
    scores = score_set(benchmark, "depth", folder, 3, CONFIG)
    table = write_results(tmp_path / "out", "mine", "depth", {"nyuv2": scores}, {"protocol": "papers"})
    with open(tmp_path / "out/nyuv2/photos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == ["scene/00", "scene/01", "scene/02"]
    assert float(rows[1]["abs_rel"]) == scores.photos["scene/01"]["abs_rel"]
    summary = json.loads((tmp_path / "out/nyuv2/summary.json").read_text())
    assert summary["scores"]["abs_rel"] == {"value": scores.overall["abs_rel"], "unit": "1"}
    assert summary["protocol"] == {"protocol": "papers"}
    assert f"| **mine** (this run) | {100 * scores.overall['abs_rel']:.1f} |" in table.read_text()
    assert "| Lotus-D | 5.1 | 97.2 |" in table.read_text()


def test_the_worst_photos_are_drawn_worst_first(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    spoil(folder / "scene/02.npz", 3.0, columns=3)
    spoil(folder / "scene/00.npz", 1.5, columns=3)
    for task in ("depth", "normals"):
        scores = score_set(benchmark, task, folder, 3, CONFIG)
        paths = write_worst(benchmark, task, folder, scores, tmp_path / task, CONFIG)
        assert len(paths) == 2
        picture = read_rgb(paths[0])
        assert picture.shape == (SIZE[0], 4 * SIZE[1], 3)
        assert picture[3, 3].tolist() == [int(paths[0].stem.split("_")[-1]), 7, 7]  # the photo comes first
    assert paths[0].name.startswith("01_scene_")
    drawn = write_worst(benchmark, "depth", folder, score_set(benchmark, "depth", folder, 3, CONFIG), tmp_path, CONFIG)
    assert [path.name for path in drawn] == ["01_scene_02.png", "02_scene_00.png"]
    error = read_rgb(drawn[0])[:, 3 * SIZE[1] :]
    assert error[5:9, :3].mean() > 2 * error[10:].mean()  # what was spoilt is bright


def test_published_rows_have_sources_and_sane_figures() -> None:
    for task, kinds in (("depth", 5), ("normals", 4)):
        rows = published(task)
        assert len({row.model for row in rows}) == len(rows)
        assert max(len(row.figures) for row in rows) == kinds
        for row in rows:
            assert "arXiv" in row.source
            for error, share in row.figures.values():
                assert 0 < error < 50 < 100 or task == "normals"
                assert 0 < share <= 100


def test_a_set_nobody_published_on_has_a_table_too(tmp_path: Path) -> None:
    benchmark, folder = predicted(tmp_path)
    lines = comparison("mine", "normals", {"folder": score_set(benchmark, "normals", folder, 3, CONFIG)})
    assert len(lines) == 3
    assert lines[2].startswith("| **mine** (this run) | 0.0 | 100.0 |")
