"""What the stage promises: it measures how far normals can be trusted, and maps of overlapping views agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from lotus_recon.config import Runtime
from lotus_recon.geometry.consistency import DepthTensors, coarse_samples, covisible, disagreement
from lotus_recon.geometry.normals import normalized, normals_from_depth
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.normal_integration import stage
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.types import DepthKind, DepthMap, NormalMap, SparsePoints
from tests.alignment.analytic import Truth, make_scene

CPU = torch.device("cpu")
Error = Callable[[int, tuple[int, int]], NDArray[np.float64]]  # (view, (H, W)) -> (H, W)


def smooth(seed: int, shape: tuple[int, int], rms: float, width: float = 12) -> NDArray[np.float64]:
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), width)
    return np.asarray(rms * noise / noise.std())


def rough_depth(view: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Every pixel is off by half a percent: normals know the small shapes better."""
    return 1 + 0.005 * np.random.default_rng(view).standard_normal(shape)


def wavy_depth(view: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Large shapes are off by 2 %, in every view others."""
    return np.exp(smooth(view, shape, 0.02))


def nearly_true_depth(view: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Every pixel is off by a thousandth."""
    return 1 + 0.001 * np.random.default_rng(view).standard_normal(shape)


def write(root: Path, truth: Truth, depth_error: Error, tilt: float = 0.0) -> stage.Inputs:
    """Depth with an error, and normals that are turned by a smooth field of ``tilt`` (tangent of the angle, rms)."""
    for i, (view, depth) in enumerate(zip(truth.scene.views, truth.depths, strict=True)):
        shape = (depth.shape[0], depth.shape[1])
        valid = np.ones(shape, bool)
        wrong = (depth * depth_error(i, shape)).astype(np.float32)
        SceneMaps(root / "depth").save(view, DepthMap(wrong, valid, DepthKind.SCENE))
        normals, known = normals_from_depth(depth, valid, view.camera)
        turned = normals + (
            np.stack([smooth(50 + i, shape, tilt), smooth(90 + i, shape, tilt), np.zeros(shape)], -1) if tilt else 0
        )
        SceneMaps(root / "normals").save(view, normals=NormalMap(normalized(turned).astype(np.float32), known))
    scored = np.zeros(len(truth.scene.points.xyz), bool)
    return stage.Inputs(truth.scene, root / "depth", root / "normals", scored, Runtime(device="cpu"))


def integrate(inputs: stage.Inputs, out: Path, config: NormalIntegrationConfig) -> stage.IntegratedViews:
    out.mkdir(parents=True)
    return stage.run(inputs, config, out)


def apart(truth: Truth, folder: Path) -> float:
    """Median relative disagreement of the maps in a folder."""
    views = truth.scene.views
    depths = [SceneMaps(folder).load(view).required_depth for view in views]
    maps = [DepthTensors.of(view, d.values, d.valid, CPU) for view, d in zip(views, depths, strict=True)]
    neighbours = covisible(views, [coarse_samples(d.values, d.valid) for d in depths], 8)
    found = disagreement(((maps[i], maps[j]) for i, others in enumerate(neighbours) for j in others), 5000)
    assert found is not None
    return found


def off(truth: Truth, folder: Path) -> float:
    """Median relative error of the maps in a folder."""
    depths = [SceneMaps(folder).load(view).required_depth for view in truth.scene.views]
    errors = [np.abs(d.values / t - 1)[d.valid] for d, t in zip(depths, truth.depths, strict=True)]
    return float(np.median(np.concatenate(errors)))


@pytest.mark.parametrize("points", [60, 1500])  # few: views measure the scale; many: held-out points do
def test_the_scale_is_that_up_to_which_normals_help(tmp_path: Path, points: int) -> None:
    truth = make_scene(views=3, points=points)
    good = write(tmp_path / "good", truth, rough_depth)
    poor = write(tmp_path / "poor", truth, nearly_true_depth, tilt=0.15)
    config = NormalIntegrationConfig(consensus_iterations=0)
    far = integrate(good, tmp_path / "good/out", config).integration_scale
    near = integrate(poor, tmp_path / "poor/out", config).integration_scale
    assert near <= 0.01 < 0.03 <= far
    fixed = replace(config, integration_scale=0.3)
    integrate(poor, tmp_path / "poor/fixed", fixed)
    assert off(truth, tmp_path / "poor/out") < 0.5 * off(truth, tmp_path / "poor/fixed")


def test_integrated_maps_move_to_the_consensus_and_to_the_truth(tmp_path: Path) -> None:
    truth = make_scene(views=5, points=60)
    inputs = write(tmp_path, truth, wavy_depth)
    config = NormalIntegrationConfig(integration_scale=0.03)
    for iterations in (0, 1, 3):
        integrate(inputs, tmp_path / f"{iterations}", replace(config, consensus_iterations=iterations))
    alone, once, thrice = (tmp_path / name for name in "013")
    assert apart(truth, once) < 0.5 * apart(truth, alone)
    assert apart(truth, thrice) < 0.7 * apart(truth, once)
    assert off(truth, once) < 0.75 * off(truth, alone)


@pytest.mark.parametrize(("points", "iterations"), [(60, 1), (1500, 0)])
def test_few_points_call_for_a_consensus_and_many_do_not(tmp_path: Path, points: int, iterations: int) -> None:
    truth = make_scene(views=3, points=points)
    seen = np.bincount(truth.scene.points.obs_view, minlength=3).mean()
    assert (seen < 100) == (points == 60)
    inputs = write(tmp_path, truth, wavy_depth)
    config = NormalIntegrationConfig(integration_scale=0.03)
    integrate(inputs, tmp_path / "default", config)
    integrate(inputs, tmp_path / "asked", replace(config, consensus_iterations=iterations))
    for view in truth.scene.views:
        default, asked = (tmp_path / name / f"{view.stem}.npz" for name in ("default", "asked"))
        assert default.read_bytes() == asked.read_bytes()


def test_without_overlap_or_points_the_scale_is_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = make_scene(views=2, points=60)
    scene = replace(one.scene, views=one.scene.views[:1], points=SparsePoints.empty())
    inputs = write(tmp_path, Truth(scene, one.depths[:1]), rough_depth)
    result = integrate(inputs, tmp_path / "out", NormalIntegrationConfig())
    assert result.integration_scale == 0.3
    assert "--integration-scale 0.3" in caplog.text
