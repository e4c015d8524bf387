"""Aligned maps move towards what overlapping maps agree on: nearer to each other, and to the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lotus_recon.alignment import stage
from lotus_recon.alignment.config import AdvancedAlignment, AlignmentConfig
from lotus_recon.config import Runtime
from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible, disagreement
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.types import DepthKind, DepthMap
from tests.alignment.analytic import Truth, make_scene

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def truth() -> Truth:
    """Few points: they leave much of a map to what other maps say."""
    return make_scene(views=6, points=90)


@pytest.fixture(scope="module")
def predictions(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth with a smooth error of 2 %, of its own in every view."""
    folder = tmp_path_factory.mktemp("predictions")
    for i, (view, depth) in enumerate(zip(truth.scene.views, truth.depths, strict=True)):
        noise = gaussian_filter(np.random.default_rng(i).standard_normal(depth.shape), 14)
        wrong = depth * np.exp(0.02 * noise / noise.std())
        valid = np.ones(depth.shape, bool)
        SceneMaps(folder).save(view, DepthMap(wrong.astype(np.float32), valid, DepthKind.AFFINE))
    return folder


def aligned(truth: Truth, predictions: Path, out: Path, rounds: int) -> tuple[float, float]:
    """Median relative error of the aligned maps, and their median disagreement with each other."""
    out.mkdir()
    config = AlignmentConfig(advanced=AdvancedAlignment(overlap_rounds=rounds))
    stage.run(stage.Inputs(truth.scene, predictions, Runtime(device="cpu")), config, out)
    depths = [SceneMaps(out).load(view).required_depth for view in truth.scene.views]
    errors = [np.abs(d.values / t - 1)[d.valid] for d, t in zip(depths, truth.depths, strict=True)]
    views = truth.scene.views
    maps = [DepthTensors.of(view, d.values, d.valid, CPU) for view, d in zip(views, depths, strict=True)]
    neighbours = covisible(views, [coarse_samples(d.values, d.valid) for d in depths], 8)
    apart = disagreement(((maps[i], maps[j]) for i, others in enumerate(neighbours) for j in others), 5000)
    assert apart is not None
    return float(np.median(np.concatenate(errors))), apart


def test_maps_move_to_the_consensus_and_to_the_truth(truth: Truth, predictions: Path, tmp_path: Path) -> None:
    by_points = aligned(truth, predictions, tmp_path / "points", rounds=0)
    once = aligned(truth, predictions, tmp_path / "once", rounds=1)
    thrice = aligned(truth, predictions, tmp_path / "thrice", rounds=3)
    assert thrice[0] < 0.7 * by_points[0]
    assert thrice[1] < 0.45 * by_points[1]
    assert thrice[1] < 0.8 * once[1] < 0.8 * 0.8 * by_points[1]


def test_without_joint_refinement_maps_do_not_meet(truth: Truth, predictions: Path, tmp_path: Path) -> None:
    """Whoever asks for maps that depend on their points alone gets them, whatever the number of rounds."""
    for rounds in (0, 3):
        config = AlignmentConfig(advanced=AdvancedAlignment(joint=False, overlap_rounds=rounds))
        (tmp_path / str(rounds)).mkdir()
        stage.run(stage.Inputs(truth.scene, predictions, Runtime(device="cpu")), config, tmp_path / str(rounds))
    for view in truth.scene.views:
        first, second = (tmp_path / name / f"{view.stem}.npz" for name in "03")
        assert first.read_bytes() == second.read_bytes()
