"""What runs on a CUDA device, on CPU tensors, against the loops in numpy that run elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.consistency.solid import solid_pixels, without_flying
from lotus_recon.geometry.consistency import SAME_SURFACE, DepthTensors, depth_log_ratio, disagreement
from lotus_recon.io.scene_maps import ViewMaps
from lotus_recon.types import DepthKind, DepthMap
from tests.alignment.analytic import true_depth, views_on_arc

CPU = torch.device("cpu")


@pytest.mark.parametrize("seed", range(3))
def test_solid_pixels_are_those_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for view in views_on_arc(3):
        truth = true_depth(view)
        valid = np.isfinite(truth) & (rng.random(truth.shape) < 0.9)
        values = np.where(valid, truth * (1 + 0.01 * rng.standard_normal(truth.shape)), 0).astype(np.float32)
        limits = ConsistencyConfig().advanced
        maps = ViewMaps(DepthMap(values, valid, DepthKind.SCENE))
        expected = without_flying(view, maps, ConsistencyConfig(), CPU)
        tensors = torch.from_numpy(values), torch.from_numpy(valid)
        found = solid_pixels(*tensors, view.camera, limits.edge_jump, limits.min_grazing_deg).numpy()
        assert 0.05 < expected[valid].mean() < 0.95  # some of either
        assert (found != expected).mean() < 1e-4  # at a threshold, rounding decides


def test_the_disagreement_is_the_median_of_what_each_pair_shows() -> None:
    rng = np.random.default_rng(0)
    maps = []
    for view in views_on_arc(3):
        truth = true_depth(view)
        noise = 1 + 0.02 * rng.standard_normal(truth.shape)
        maps.append(DepthTensors.of(view, np.nan_to_num(truth * noise, nan=1), np.isfinite(truth), CPU))
    pairs = [(maps[0], maps[1]), (maps[0], maps[2]), (maps[1], maps[2]), (maps[2], maps[0])]
    ratios = []
    for this, other in pairs:  # one after the other, copied each
        ratio = depth_log_ratio(this, *this.every(2), other).abs()
        ratios.append(ratio[ratio < SAME_SURFACE].cpu())
    assert len(torch.cat(ratios)) > 1000
    assert disagreement(pairs, maps[0].depth.numel() // 4) == float(torch.cat(ratios).median())
    away = DepthTensors(maps[1].view, 1e3 * maps[1].depth, maps[1].valid, maps[1].confidence)
    assert disagreement([(maps[0], away)], 1000) is None
    assert disagreement([], 1000) is None
