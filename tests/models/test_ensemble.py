"""Ensembles: members that differ in gauge, and by a known error, have a known median and spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.models import load_model
from lotus_recon.models.base import ModelInfo, ModelOptions, check_ensemble
from lotus_recon.models.ensemble import EnsembleModel, combined
from lotus_recon.models.gauge import robust_line
from lotus_recon.models.registry import check_model
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction
from tests.models.test_tiling import Shortsighted
from tests.models.toys import photo, write_checkpoint

WHOLE = np.s_[:, :]
TRUTH = np.add.outer(np.linspace(0, 1, 40), np.linspace(0, 2, 60) ** 2).astype(np.float32)
EVERYWHERE = np.ones(TRUTH.shape, bool)


def disparity(values: NDArray[np.floating]) -> Prediction:
    return Prediction(DepthMap(values.astype(np.float32), EVERYWHERE, DepthKind.AFFINE_DISPARITY), None)


def test_gauges_are_removed_and_the_errors_of_members_become_their_spread() -> None:
    """Noise of 0.01 on the left, 0.05 on the right; every member in a gauge of its own, the last one half wrong."""
    rng = np.random.default_rng(0)
    noise = np.where(np.arange(60) < 30, 0.01, 0.05)
    members = [
        (disparity(rng.uniform(0.5, 2) * (TRUTH + noise * rng.normal(size=TRUTH.shape)) + rng.normal()), WHOLE)
        for _ in range(12)
    ]
    found = combined(members)
    assert found.depth is not None
    assert found.depth_sigma is not None
    first = members[0][0].depth
    assert first is not None
    scale, shift = robust_line(first.values.ravel().astype(float), TRUTH.ravel().astype(float))
    assert np.abs(scale * found.depth.values + shift - TRUTH)[:, :30].mean() < 0.006, "the gauge is the first member's"
    sigma = scale * found.depth_sigma
    assert sigma[:, :30].mean() == pytest.approx(0.01, rel=0.15)
    assert sigma[:, 30:].mean() == pytest.approx(0.05, rel=0.15)
    wrong = np.where(np.arange(60) < 20, 5.0, 3 * TRUTH + 1)
    spoiled = combined([*members[:4], (disparity(wrong), WHOLE)])
    assert spoiled.depth is not None
    assert np.abs(scale * spoiled.depth.values + shift - TRUTH).mean() < 0.06, "a median, not a mean"


def test_normals_are_the_mean_direction_and_their_spread_in_degrees() -> None:
    members = []
    for degrees in (-6, 0, 6):
        x, z = np.sin(np.radians(degrees)), -np.cos(np.radians(degrees))
        values = np.tile(np.array([x, 0, z], np.float32), (4, 5, 1))
        members.append((Prediction(None, NormalMap(values, np.ones((4, 5), bool))), WHOLE))
    found = combined(members)
    assert found.normals is not None
    assert found.normals_sigma_deg is not None
    np.testing.assert_allclose(found.normals.values, np.broadcast_to([0, 0, -1], (4, 5, 3)), atol=1e-6)
    np.testing.assert_allclose(found.normals_sigma_deg, np.sqrt((36 + 0 + 36) / 3), rtol=0.01)


def test_a_network_without_noise_sees_the_photo_mirrored_and_cut() -> None:
    """What a member is shown is undone in its map: where the estimator is right, all twelve agree."""

    class Right(Shortsighted):
        def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
            self.calls.append((rgb.shape[1], rgb.shape[0]))
            grey = rgb[..., 0].astype(np.float32) / 255
            x = 0.4 * (rgb[..., 1].astype(np.float32) / 127.5 - 1)  # to the right, as seen in this photo
            # A mirrored photo shows mirrored colours: the estimator reads left from right by the ramp of its rows.
            x = x if grey[0, -1] >= grey[0, 0] else -x
            normals = np.stack([x, np.zeros_like(x), -np.sqrt(1 - x**2)], -1)
            valid = np.ones(grey.shape, bool)
            depth = DepthMap(np.asarray(2 * grey + 1, np.float32), valid, DepthKind.AFFINE_DISPARITY)
            return Prediction(depth, NormalMap(normals, valid))

    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    rgb = np.stack([np.tile(ramp, (48, 1)), np.full((48, 64), 200, np.uint8), np.zeros((48, 64), np.uint8)], -1)
    model = Right()
    found = EnsembleModel(model, 12, ModelInfo("right", ("depth", "normal"))).predict(rgb)
    assert len(model.calls) == 12
    assert model.calls[:2] == [(64, 48)] * 2
    assert model.calls[2:] == [(56, 42)] * 10
    assert found.depth is not None
    assert found.depth_sigma is not None
    assert found.normals_sigma_deg is not None
    np.testing.assert_allclose(found.depth.values, 2 * (rgb[..., 0] / 255.0) + 1, atol=1e-5)
    assert found.depth_sigma.max() < 1e-5
    assert found.normals_sigma_deg.max() < 0.1


def test_seeds_of_a_batch_are_the_predictions_of_each_alone(tmp_path: Path) -> None:
    """Lotus-G makes them from one encoding; the median is that of separate runs."""
    folder = write_checkpoint(tmp_path / "lotus-depth-g-v2-1-disparity", in_channels=8)
    options = ModelOptions(task="depth", depth_space="disparity", processing_res=64)
    assert check_model(str(folder), options=options).takes_noise
    single = load_model(str(folder), "cpu", task="depth", depth_space="disparity", processing_res=64)
    rgb = photo(64, 48)
    alone = [single.predict(rgb, seed).depth for seed in (5, 6, 7)]
    together = single.predict_seeds(rgb, [5, 6, 7])  # type: ignore[attr-defined]
    for one, other in zip(alone, together, strict=True):
        assert one is not None
        assert other.depth is not None
        np.testing.assert_allclose(one.values, other.depth.values, atol=2e-5)
    assert [each.meta["seed"] for each in together] == [5, 6, 7]
    ensemble = load_model(str(folder), "cpu", task="depth", depth_space="disparity", processing_res=64, ensemble=3)
    found = ensemble.predict(rgb, 5)
    assert found.meta["ensemble"] == 3
    assert found.depth_sigma is not None
    assert found.depth_sigma.mean() > 0


@pytest.mark.parametrize("ensemble", [0, 7])
def test_more_members_than_there_are_ways_to_look_are_refused(ensemble: int) -> None:
    with pytest.raises(InputError, match=f"--ensemble {ensemble}; allowed with this model: 1 to 6 .*is cut"):
        check_model("nano", options=ModelOptions(ensemble=ensemble))
    with pytest.raises(InputError, match="--ensemble 13; allowed with this model: 1 to 12 .*mirrored and cut"):
        check_ensemble(13, ModelInfo("lotus-d", ("depth",)))


def test_a_symmetric_network_is_never_shown_the_same_twice() -> None:
    nano = load_model("nano", "cpu", ensemble=6)
    found = nano.predict(photo(96, 64))
    two = load_model("nano", "cpu", ensemble=2).predict(photo(96, 64))
    assert found.depth_sigma is not None
    assert two.depth_sigma is not None
    assert two.depth_sigma.mean() > 1e-4, "the second member is no mirror image of the first"
