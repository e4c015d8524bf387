"""The tasks depth and normals never write outside --out, nor score the maps of another model, list or set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig, SetConfig
from lotus_recon.evaluation.maps_job import check_job, predict, score
from lotus_recon.evaluation.predict import claim, prediction_file
from lotus_recon.types import DepthKind, DepthMap, Prediction
from tests.datasets.benchmarks import layouts


class FlatModel:
    """Predicts a slope of depth in metres, ``slope`` per column."""

    name, tasks, batch_size = "flat", ("depth",), 1

    def __init__(self, slope: float) -> None:
        self._slope = slope

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        columns = np.arange(rgb.shape[1], dtype=np.float32)
        depth = np.broadcast_to(1 + self._slope * columns, rgb.shape[:2]).copy()
        return Prediction(DepthMap(depth, np.ones(rgb.shape[:2], bool), DepthKind.METRIC), None, {})

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        return [self.predict(rgb, seed) for rgb in images]


def a_set(tmp_path: Path, prefix: str = "test/") -> MapsConfig:
    """The options of a set of one photo, its depth a slope of 1/1000 per column; ``prefix`` begins its paths."""
    depth_mm = np.broadcast_to(1000 + np.arange(640), (480, 640)).astype(np.uint16)
    files = layouts.write_nyu(tmp_path / "nyu", depth_mm)
    files.write_text(files.read_text().replace("test/", prefix))
    return MapsConfig(sets=[SetConfig("nyuv2", Path("nyu"), Path(files.name))], data=tmp_path, align="none", workers=1)


def abs_rel(config: MapsConfig, out: Path, slope: float) -> float:
    job = check_job("depth", config, out)
    predict(job, lambda part: FlatModel(slope))
    return score(job)["nyuv2"].overall["abs_rel"]


@pytest.mark.parametrize("absolute", [False, True])
def test_each_model_is_scored_on_its_own_maps(tmp_path: Path, absolute: bool) -> None:
    config = a_set(tmp_path, f"{tmp_path}/nyu/test/" if absolute else "test/")
    assert abs_rel(config, tmp_path / "good", 0.001) < 1e-3
    assert abs_rel(config, tmp_path / "bad", 0.004) > 0.1
    assert [path for path in tmp_path.rglob("*.npz") if path.is_relative_to(tmp_path / "nyu")] == []


@pytest.mark.parametrize("name", ["/elsewhere/photo", "../photo", "a/../../photo", "", "."])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="would lie outside"):
        prediction_file(tmp_path, name)


def test_maps_of_another_list_or_set_are_not_reused(tmp_path: Path) -> None:
    config, out = a_set(tmp_path), tmp_path / "out"
    abs_rel(config, out, 0.001)
    (tmp_path / "other").mkdir()
    elsewhere = a_set(tmp_path / "other")
    with pytest.raises(InputError, match="different settings.*root"):
        abs_rel(elsewhere, out, 0.001)
    with pytest.raises(InputError, match="different settings.*dtype"):
        check_job("depth", replace(config, only="score", dtype="float16"), out)
    (tmp_path / "nyu_files.txt").write_text("test/kitchen_0004/rgb_0001.png test/kitchen_0004/filled_0001.png x\n")
    with pytest.raises(InputError, match="different settings.*list"):
        abs_rel(config, out, 0.001)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\x00"])
def test_maps_whose_origin_cannot_be_read_are_not_reused(tmp_path: Path, content: str) -> None:
    config, out = a_set(tmp_path), tmp_path / "out"
    abs_rel(config, out, 0.001)
    origin = next(out.rglob("made_by.json"))
    origin.write_text(content)
    with pytest.raises(InputError, match="made_by"):
        abs_rel(config, out, 0.004)
    origin.unlink()
    with pytest.raises(InputError, match="made_by"):
        claim(origin.parent, {})
