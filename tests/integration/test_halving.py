"""Half the size and back: what large maps start from is the surface itself, where that is a plane."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.integration.checks import Problem, checked
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.integration.halving import doubled, halved
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.integration.planes import steps_between
from tests.integration.surfaces import CAMERAS, SIZE, Surface, plane

Matrix = NDArray[np.float64] | None
HEIGHT, WIDTH = 31, 45  # the last blocks are half empty


def problem_of(surface: Surface, camera: Matrix, **more: NDArray) -> Problem:
    inside = slice(0, HEIGHT), slice(0, WIDTH)
    given = {"confidence": np.ones((HEIGHT, WIDTH)), "prior": surface.depth[inside], **more}
    return checked(
        surface.normals[inside],
        np.ones((HEIGHT, WIDTH), bool),
        camera if camera is None else np.array(camera),
        given["prior"],
        None,
        given["confidence"],
        given.get("anchors"),
        IntegrationConfig(),
    )


def unknown_at(problem: Problem, tilt: tuple[float, float], camera: Matrix, size: float) -> NDArray[np.float64]:
    """The plane of ``surfaces.plane`` at the middles of blocks of ``size`` pixels, in the unit of the unknown."""
    graph = PixelGraph.of(problem.mask)
    x, y = size * (graph.cols + 0.5), size * (graph.rows + 0.5)
    if camera is None:
        return (40 + tilt[0] * (x - SIZE / 2) + tilt[1] * (y - SIZE / 2)) / size
    ray = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera).T
    return np.log(3 / (1 - ray[:, 0] * tilt[0] - ray[:, 1] * tilt[1]))


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_plane_at_half_the_size_is_the_same_plane(camera: Matrix) -> None:
    tilt = (0.4, -0.3)
    problem = problem_of(plane(camera, tilt), camera)
    half = halved(problem)
    fine, coarse = PixelGraph.of(problem.mask), PixelGraph.of(half.mask)
    assert half.mask.shape == (16, 23)
    steps = steps_between(coarse, half.normals[half.mask], half.K, 0.02)
    found = doubled(unknown_at(half, tilt, camera, 2), coarse, steps, fine, camera is not None)
    # Log depth is linear within a block to second order; from pixel to pixel it changes by 3.5e-3.
    atol = 1e-12 if camera is None else 1e-5
    np.testing.assert_allclose(found, unknown_at(problem, tilt, camera, 1), rtol=0, atol=atol)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_blocks_are_means_of_what_is_known(camera: Matrix) -> None:
    prior = np.full((HEIGHT, WIDTH), np.nan)
    prior[:2, :2] = [[2.0, 4.0], [np.nan, 6.0]]
    prior[30, 44] = 8.0  # alone in its block
    confidence = np.zeros((HEIGHT, WIDTH))
    confidence[:2, :2] = [[0.0, 1.0], [0.0, 1.0]]
    confidence[30, 44] = 0.25
    half = halved(problem_of(plane(camera, (0.0, 0.0)), camera, prior=prior, confidence=confidence, anchors=prior))
    unit = 0.5 if camera is None else 1.0
    for values in (half.prior, half.anchors):
        np.testing.assert_allclose([values[0, 0], values[15, 22]], [4 * unit, 8 * unit])
        assert np.isfinite(values).sum() == 2
    np.testing.assert_allclose([half.confidence[0, 0], half.confidence[15, 22]], [0.5, 0.25])
    assert (half.confidence > 0).sum() == 2


def test_blocks_without_a_usable_normal_look_at_the_camera() -> None:
    surface = plane(None, (0.5, 0.0))
    normals = surface.normals.copy()
    normals[4:6, 4:6] = np.nan
    normals[8:10, 8] = np.nan
    half = halved(problem_of(Surface(normals, surface.depth, surface.mask), None))
    np.testing.assert_array_equal(half.normals[2, 2], [0, 0, -1])
    assert not half.usable[2, 2]
    assert half.usable.sum() == half.usable.size - 1
    np.testing.assert_allclose(half.normals[4, 4], surface.normals[0, 0])
