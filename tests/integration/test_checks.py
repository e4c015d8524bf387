"""What integration refuses, and what it copes with."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.integration import integrate_normals
from tests.integration.surfaces import SIZE, K, plane

PLANE = plane(K, (0.2, 0.1))


def turned_away(share: float) -> np.ndarray:
    normals = PLANE.normals.copy()
    normals[: int(share * SIZE)] *= -1
    return normals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": np.zeros((SIZE, SIZE), bool)}, "mask has 0 pixels"),
        ({"mask": np.arange(SIZE * SIZE).reshape(SIZE, SIZE) == 7}, "mask has 1 pixels"),
        ({"mask": np.ones((SIZE, SIZE + 1), bool)}, "mask has shape (96, 97)"),
        ({"normals": PLANE.normals[..., :2]}, "normals have shape (96, 96, 2)"),
        ({"normals": np.full((SIZE, SIZE, 3), 128, np.uint8)}, "normals are uint8"),
        ({"normals": np.full((SIZE, SIZE, 3), np.nan)}, "100.0 % not finite"),
        ({"normals": np.zeros((SIZE, SIZE, 3))}, "100.0 % zero"),
        ({"normals": 3 * PLANE.normals}, "100.0 % not of unit length"),
        ({"normals": turned_away(0.5)}, "50.0 % facing away"),
        ({"K": np.eye(2)}, "K has shape (2, 2)"),
        ({"K": np.diag([0.0, 1.0, 1.0])}, "positive focal lengths"),
        ({"K": np.diag([1.0, 0.0, 1.0])}, "positive focal lengths"),
        ({"K": np.diag([4, 4, 1.0]) @ K + [[0, 0, 500], [0, 0, 0], [0, 0, 0]]}, "another size"),
        ({"depth_prior": np.full((SIZE, SIZE), np.nan)}, "depth_prior has no valid pixel"),
        ({"depth_prior": -PLANE.depth}, "positive and finite"),
        ({"depth_prior": PLANE.depth[:5]}, "depth_prior has shape (5, 96)"),
        ({"prior_weight": -1.0}, "prior_weight has values that are negative"),
        ({"prior_weight": np.ones(3)}, "prior_weight has shape (3,)"),
        ({"confidence": np.full((SIZE, SIZE), np.nan)}, "confidence has values that are negative or not finite"),
        ({"anchors": np.zeros((SIZE, SIZE))}, "anchors has no valid pixel"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"normals": PLANE.normals, "mask": PLANE.mask, "K": K, **changes}
    with pytest.raises(InputError, match=re.escape(message)):
        integrate_normals(**given)


def test_a_K_of_twice_the_size_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    integrate_normals(PLANE.normals, PLANE.mask, np.diag([2, 2, 1.0]) @ K)
    assert "far from the middle" in caplog.text


@pytest.mark.parametrize("bad", [np.nan, 0.0, 5.0])
def test_a_few_bad_normals_are_bridged(bad: float) -> None:
    normals = PLANE.normals.copy()
    normals[np.random.default_rng(0).random((SIZE, SIZE)) < 0.05] = bad
    found = integrate_normals(normals, PLANE.mask, K)
    ratio = found.depth / PLANE.depth
    assert np.abs(ratio / np.median(ratio) - 1).max() < 0.01


def test_rims_that_just_turn_away_are_kept() -> None:
    normals = PLANE.normals.copy()
    normals[:, 0] = [1.0, 0.0, 0.0]
    assert np.isfinite(integrate_normals(normals, PLANE.mask, K).depth).all()


def test_thousands_of_islands() -> None:
    mask = np.zeros((180, 180), bool)
    mask[::3, ::3] = mask[1::3, ::3] = True  # 3,600 of two pixels
    mask[-1] = False
    normals = np.broadcast_to([0.0, 0.0, -1.0], (180, 180, 3))
    found = integrate_normals(normals, mask)
    assert len(found.tied) == 3600
    np.testing.assert_allclose(found.depth[mask], 0, atol=1e-6)


def test_a_prior_with_holes_in_another_unit_gives_that_unit() -> None:
    prior = 1000 * PLANE.depth
    prior[20:60, 10:80] = np.nan
    prior[0, 0] = 0
    found = integrate_normals(PLANE.normals, PLANE.mask, K, prior)
    np.testing.assert_allclose(found.depth, 1000 * PLANE.depth, rtol=1e-3)


def test_sixteen_bits_of_a_normal_map_count() -> None:
    """The same normals stored with 8 bits give a rougher surface: reading 16 bits as 8 would show."""
    normals = PLANE.normals + 0.004 * np.sin(np.arange(SIZE) / 9)[None, :, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    exact = integrate_normals(normals, PLANE.mask, K).depth
    spread = []
    for levels in (255, 65535):
        stored = np.round((normals + 1) / 2 * levels) / levels * 2 - 1
        depth = integrate_normals(stored, PLANE.mask, K).depth
        spread.append(float(np.std(depth / exact)))
    assert spread[1] < 0.1 * spread[0]
