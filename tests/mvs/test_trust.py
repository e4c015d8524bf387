"""Which maps of the network complete depth: those that predict the depth that photos decide."""

from __future__ import annotations

import numpy as np

from lotus_recon.mvs.guides import Guide
from lotus_recon.mvs.trust import trusted
from tests.mvs.scenes import middle

EVERYWHERE = np.ones((120, 160), bool)


def chosen(normals: np.ndarray | None, shape: np.ndarray | None) -> Guide:
    truth = middle()
    depth = truth.depth.astype(np.float32)
    return trusted(Guide(shape, normals, EVERYWHERE), depth, EVERYWHERE, truth.view.camera)


def test_true_normals_are_kept() -> None:
    assert chosen(middle().normals, None).normals is not None


def test_false_normals_go_and_a_true_shape_stays() -> None:
    sideways = np.tile(np.array([0.9, 0, -np.sqrt(1 - 0.81)], np.float32), (120, 160, 1))
    guide = chosen(sideways, middle().depth.astype(np.float32))
    assert guide.normals is None
    assert guide.depth is not None


def test_without_enough_to_compare_nothing_is_dropped() -> None:
    guide = Guide(None, middle().normals, EVERYWHERE)
    none = np.zeros((120, 160), bool)
    assert trusted(guide, middle().depth.astype(np.float32), none, middle().view.camera) is guide
