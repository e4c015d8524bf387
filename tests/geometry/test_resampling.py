"""Maps at new positions: exact on planes, untouched by identity, never blended across edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.geometry.camera import pixel_centers
from lotus_recon.geometry.normals import normalized
from lotus_recon.geometry.resampling import Sampling, sample_depth, sample_mask, sample_normals
from lotus_recon.types import DepthKind, DepthMap, NormalMap

SHAPE = (40, 60)
KINDS = list(DepthKind)


def _depth(values: NDArray[np.floating], kind: DepthKind = DepthKind.METRIC) -> DepthMap:
    return DepthMap(values.astype(np.float32), np.isfinite(values), kind)


def _shifted(by: tuple[float, float], shape: tuple[int, int] = SHAPE) -> Sampling:
    return Sampling(pixel_centers(*shape) + np.array(by), shape)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_returns_the_very_same_values(kind: DepthKind) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 3, SHAPE)
    values[5:9, 5:9] = np.nan
    depth = _depth(values, kind)
    rounding = rng.uniform(-2e-4, 2e-4, (*SHAPE, 2))  # what float32 positions carry
    same = sample_depth(depth, Sampling(pixel_centers(*SHAPE) + rounding, SHAPE))
    np.testing.assert_array_equal(same.values, depth.values)
    np.testing.assert_array_equal(same.valid, depth.valid)
    assert same.kind is kind

    vectors = normalized(rng.normal(size=(*SHAPE, 3))).astype(np.float32)
    normals = NormalMap(vectors, depth.valid)
    kept = sample_normals(normals, Sampling(pixel_centers(*SHAPE) + rounding, SHAPE), depth)
    np.testing.assert_array_equal(kept.values, vectors)
    np.testing.assert_array_equal(kept.valid, depth.valid)


@pytest.mark.parametrize("kind", KINDS)
def test_steep_plane_is_interpolated_exactly(kind: DepthKind) -> None:
    centers = pixel_centers(*SHAPE)
    plane = 2 + 0.5 * centers[..., 0] + 0.3 * centers[..., 1]  # up to 18 % per pixel: steep, but no edge
    moved = sample_depth(_depth(plane, kind), _shifted((0.3, 0.4)))
    inner = (slice(1, -2), slice(1, -2))
    np.testing.assert_allclose(moved.values[inner], (plane + 0.5 * 0.3 + 0.3 * 0.4)[inner], rtol=1e-6)
    assert moved.valid[inner].all()


@pytest.mark.parametrize("kind", KINDS)
def test_never_blended_across_an_edge(kind: DepthKind) -> None:
    values = np.full(SHAPE, 1.0)
    values[:, 30:] = 2.0
    values[20:, :] += 0.5
    moved = sample_depth(_depth(values, kind), _shifted((0.3, 0.4)))
    assert set(np.unique(moved.values)) <= {1.0, 2.0, 1.5, 2.5}
    # The position of the edge stays: a pixel belongs to the side that its centre lies on.
    np.testing.assert_array_equal(moved.values[5, 28:32], [1, 1, 2, 2])


def test_small_step_is_an_edge_in_any_unit_of_an_affine_map() -> None:
    values = np.zeros(SHAPE)
    values[:, :10], values[:, 30:] = -5.0, 0.15
    values[:, 50:] = 5.0
    for scale, shift in ((1.0, 0.0), (1e-3, 7.0), (1e4, -2e4)):
        moved = sample_depth(_depth(scale * values + shift, DepthKind.AFFINE_DISPARITY), _shifted((0.4, 0.0)))
        given = (scale * np.array([-5, 0, 0.15, 5]) + shift).astype(np.float32)
        assert np.isin(moved.values, given).all()


def test_beside_invalid_pixels_the_nearest_is_taken() -> None:
    values = np.tile(np.arange(1.0, 61.0) * 0.01 + 1, (40, 1))
    values[:, 30] = np.inf
    depth = DepthMap(values.astype(np.float32), np.isfinite(values), DepthKind.METRIC)
    moved = sample_depth(depth, _shifted((0.25, 0.0)))
    row = moved.values[5]
    np.testing.assert_allclose(row[28], values[5, 28] + 0.0025, rtol=1e-6)  # both neighbours are valid
    assert row[29] == np.float32(values[5, 29])  # the neighbour to the right is not
    np.testing.assert_array_equal(moved.valid[5, 28:33], [True, True, False, True, True])


def test_outside_is_invalid() -> None:
    depth = _depth(np.ones(SHAPE))
    moved = sample_depth(depth, _shifted((2.6, -1.0)))
    assert not moved.valid[0].any()
    assert not moved.valid[:, -3:].any()
    assert moved.valid[1:, :-3].all()
    lost = Sampling(np.full((2, 2, 2), np.nan), SHAPE)
    assert not sample_depth(depth, lost).valid.any()
    assert not sample_mask(np.ones(SHAPE, bool), lost).any()


def test_a_smaller_result_keeps_pixel_centres() -> None:
    centers = pixel_centers(*SHAPE)
    plane = 5 + 0.01 * centers[..., 0] + 0.02 * centers[..., 1]
    small = pixel_centers(10, 12) * np.array([60 / 12, 40 / 10])
    moved = sample_depth(_depth(plane), Sampling(small, SHAPE))
    np.testing.assert_allclose(moved.values, 5 + small @ [0.01, 0.02], rtol=1e-6)


def test_normals_bend_smoothly_but_not_across_a_crease() -> None:
    x = pixel_centers(*SHAPE)[..., 0]
    angle = np.radians(np.where(x < 30, x, 80.0))
    vectors = np.stack([np.sin(angle), np.zeros(SHAPE), -np.cos(angle)], axis=-1)
    normals = NormalMap(vectors.astype(np.float32), np.ones(SHAPE, bool))
    moved = sample_normals(normals, _shifted((0.3, 0.0)), None)
    got = np.degrees(np.arctan2(moved.values[..., 0], -moved.values[..., 2]))[5]
    np.testing.assert_allclose(got[:29], x[5, :29] + 0.3, atol=1e-3)
    assert got[29] == pytest.approx(29.5, abs=1e-4)
    np.testing.assert_allclose(got[30:], 80, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(moved.values, axis=-1), 1, atol=1e-6)


def test_normals_are_not_blended_across_a_depth_edge() -> None:
    angle = np.where(pixel_centers(*SHAPE)[..., 0] < 30, 0.0, 0.2)  # too little for a crease
    vectors = np.stack([np.sin(angle), np.zeros(SHAPE), -np.cos(angle)], axis=-1)
    normals = NormalMap(vectors.astype(np.float32), np.ones(SHAPE, bool))
    edge = _depth(np.where(angle > 0, 2.0, 1.0))
    assert len(np.unique(sample_normals(normals, _shifted((0.4, 0.0)), edge).values[..., 0])) == 2
    flat = _depth(np.ones(SHAPE))
    assert len(np.unique(sample_normals(normals, _shifted((0.4, 0.0)), flat).values[..., 0])) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_maps_of_one_row_or_column(shape: tuple[int, int]) -> None:
    values = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    np.testing.assert_array_equal(sample_depth(_depth(values), _shifted((0, 0), shape)).values, values)
