"""Targets against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.models.lotus.convert import to_normals
from lotus_recon.training.config import ObjectiveConfig
from lotus_recon.training.targets import (
    DEPTH_SPACES,
    Normalization,
    check_targets,
    depth_annotation,
    latent_mask,
    normal_annotation,
)

ALL: tuple[Normalization, ...] = ("trunc_disparity", "disparity", "truncnorm", "instnorm")


def row(*values: float) -> NDArray[np.float32]:
    return np.array([values], np.float32)


def everywhere(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.ones(depth.shape, bool)


@pytest.mark.parametrize(
    ("normalization", "depth", "expected"),
    [
        # Disparities 1, 1/2, 1/4: the middle one is a third of the way up.
        ("disparity", row(1, 2, 4), row(1, -1 / 3, -1)),
        # Depths 1, 2, 4: the middle one is a third of the way up.
        ("instnorm", row(1, 2, 4), row(-1, -1 / 3, 1)),
    ],
)
def test_the_whole_range_by_hand(
    normalization: Normalization, depth: NDArray[np.float32], expected: NDArray[np.float32]
) -> None:
    values, counts = depth_annotation(depth, everywhere(depth), None, normalization)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert counts.all()


@pytest.mark.parametrize("normalization", ["trunc_disparity", "truncnorm"])
def test_percentiles_by_hand(normalization: Normalization) -> None:
    # Of 1, 2, ..., 101 the 2nd percentile is 3 and the 98th is 99: (v - 3) / 96 * 2 - 1, clipped at both ends.
    numbers = row(*np.random.default_rng(0).permutation(np.arange(1, 102)))
    depth = np.reciprocal(numbers) if normalization == "trunc_disparity" else numbers
    values, _ = depth_annotation(depth, everywhere(depth), None, normalization)
    np.testing.assert_allclose(values, np.clip((numbers - 3) / 96 * 2 - 1, -1, 1), atol=2e-6)
    assert (values == -1).sum() == 3
    assert (values == 1).sum() == 3


@pytest.mark.parametrize("normalization", ALL)
def test_sky_is_the_far_end_and_counts_but_does_not_widen_the_range(normalization: Normalization) -> None:
    depth, valid = row(1, 2, 4, 1e9, 0), np.array([[True, True, True, False, False]])
    sky = np.array([[False, False, False, True, False]])
    values, counts = depth_annotation(depth, valid, sky, normalization)
    without, _ = depth_annotation(row(1, 2, 4), valid[:, :3], None, normalization)
    np.testing.assert_array_equal(values[:, :3], without)
    assert values[0, 3] == (-1 if DEPTH_SPACES[normalization] == "disparity" else 1)
    assert values[0, 4] == 0
    np.testing.assert_array_equal(counts, valid | sky)


@pytest.mark.parametrize("normalization", ALL)
def test_invalid_pixels_may_hold_anything(normalization: Normalization) -> None:
    depth = row(1, 2, 4, np.nan, np.inf, 0, -5)
    values, _ = depth_annotation(depth, np.array([[True] * 3 + [False] * 4]), None, normalization)
    assert np.isfinite(values).all()
    assert (values[0, 3:] == 0).all()


@pytest.mark.parametrize("normalization", ALL)
@pytest.mark.parametrize("depth", [row(2, 2, 2), row(0.1, 0.1 * (1 + 1e-7), 0.1), row(3)])
def test_a_map_of_one_depth_is_zero(normalization: Normalization, depth: NDArray[np.float32]) -> None:
    values, counts = depth_annotation(depth, everywhere(depth), None, normalization)
    assert (values == 0).all()
    assert counts.all()


@pytest.mark.parametrize("normalization", ALL)
def test_nothing_but_sky(normalization: Normalization) -> None:
    nowhere = np.zeros((2, 2), bool)
    values, counts = depth_annotation(np.zeros((2, 2), np.float32), nowhere, ~nowhere, normalization)
    assert (np.abs(values) == 1).all()
    assert counts.all()


@pytest.mark.parametrize("normalization", ALL)
def test_scale_does_not_matter(normalization: Normalization) -> None:
    depth = np.random.default_rng(1).uniform(1, 20, (20, 30)).astype(np.float32)
    values, _ = depth_annotation(depth, everywhere(depth), None, normalization)
    scaled, _ = depth_annotation(depth * 256, everywhere(depth), None, normalization)
    np.testing.assert_allclose(scaled, values, atol=1e-5)
    assert np.abs(values).max() == 1


def test_normals_are_what_inference_reads_back() -> None:
    normals = np.random.default_rng(2).normal(size=(4, 5, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    valid = np.ones((4, 5), bool)
    valid[1, 2], normals[1, 2] = False, np.nan
    annotation = normal_annotation(normals, valid)
    assert annotation.shape == (3, 4, 5)
    assert (annotation[:, 1, 2] == 0).all()
    stored = (torch.from_numpy(annotation)[None] + 1) / 2  # as networks give it out: [0, 1]
    (read,) = to_normals(stored)
    np.testing.assert_allclose(read.values[valid], normals[valid], atol=1e-6)


def test_a_wall_ahead_is_blue() -> None:
    # Released pictures of normals show surfaces that face the camera as (0.5, 0.5, 1).
    wall = np.array([[[0, 0, -1]]], np.float32)
    np.testing.assert_array_equal((normal_annotation(wall, np.ones((1, 1), bool))[:, 0, 0] + 1) / 2, [0.5, 0.5, 1])


@pytest.mark.parametrize("vae_scale_factor", [1, 2, 8])
def test_latent_mask_is_the_brute_force_one(vae_scale_factor: int) -> None:
    mask = torch.from_numpy(np.random.default_rng(3).random((2, 1, 16, 24)) > 0.6 / vae_scale_factor**2)
    result = latent_mask(mask, vae_scale_factor)
    assert result.shape == (2, 1, 16 // vae_scale_factor, 24 // vae_scale_factor)
    assert result.dtype == torch.bool
    for b, _, i, j in np.ndindex(*result.shape):
        y, x = i * vae_scale_factor, j * vae_scale_factor
        assert result[b, 0, i, j] == mask[b, 0, y : y + vae_scale_factor, x : x + vae_scale_factor].all()
    assert 0 < result.sum() < result.numel()


def test_latent_mask_refuses_cells_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="20x16 pixels"):
        latent_mask(torch.ones(1, 1, 16, 20, dtype=torch.bool), 8)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (ObjectiveConfig(tasks=[]), "one or more of depth, normal"),
        (ObjectiveConfig(tasks=["colour"]), "colour"),
        (ObjectiveConfig(tasks=["depth", "depth"]), "each once"),
        (ObjectiveConfig(depth_space="depth"), "allowed: truncnorm, instnorm"),
        (ObjectiveConfig(depth_normalization="instnorm"), "allowed: trunc_disparity, disparity"),
    ],
)
def test_objectives_that_contradict_themselves_are_refused(objective: ObjectiveConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_targets(objective)


def test_without_depth_its_space_does_not_matter() -> None:
    contradiction = ObjectiveConfig(tasks=["depth"], depth_space="depth")
    with pytest.raises(InputError):
        check_targets(contradiction)
    check_targets(replace(contradiction, tasks=["normal"]))
