"""Errors of vertices against those of the maps that they lie on: a wall seen by cameras with known errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.errors import InputError
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.meshing.vertex_sigma import vertex_sigma
from lotus_recon.types import DepthKind, DepthMap, FloatArray, View
from tests.fusion.scenes import plane_view

WALL = 4.0  # z
NAN = float("nan")


def errors(
    root: Path, cameras: Sequence[tuple[View, float]], vertices: Sequence[object], truncation: float
) -> FloatArray:
    """(V,) what the maps of the wall say, of cameras that look at it with their relative errors."""
    depths, sigmas = SceneMaps(root / "depth"), SceneMaps(root / "sigma")
    for view, sigma in cameras:
        shape = view.camera.height, view.camera.width
        depth = np.full(shape, WALL - view.center_in_world[2], np.float32)
        depths.save(view, DepthMap(depth, np.ones(shape, bool), DepthKind.SCENE))
        sigmas.save(view, sigma=np.full(shape, sigma, np.float32))
    views = [view for view, _ in cameras]
    return vertex_sigma(np.array(vertices, np.float32), views, depths, sigmas, truncation)


# One standard deviation is 0.04 of the far camera (1 % of 4) and 0.09 of the near one (3 % of 3).
FAR, NEAR = (plane_view("far.png"), 0.01), (plane_view("near.png", (0, 0, 1)), 0.03)
BOTH = (1 / 0.04 + 1 / 0.09) / (1 / 0.04**2 + 1 / 0.09**2)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((0, 0, WALL), BOTH),
        ((1.5, 0, WALL), 0.04),  # beside the image of the near one
        ((9, 0, WALL), NAN),  # beside both
        ((0, 0, -WALL), NAN),  # behind both
        ((0, 0, WALL + 0.1), BOTH),  # within 3 standard deviations of both
        ((0, 0, WALL - 0.2), 0.09),  # of the near one
        ((0, 0, WALL + 0.3), NAN),  # of none: what the wall hides
    ],
)
def test_a_vertex_has_the_error_of_the_maps_that_it_lies_on(
    tmp_path: Path, place: tuple[float, float, float], expected: float
) -> None:
    assert errors(tmp_path, [FAR, NEAR], [place], 0.0) == pytest.approx([expected], rel=1e-4, nan_ok=True)


def test_maps_from_which_fusion_may_move_the_surface_so_far_speak_for_it(tmp_path: Path) -> None:
    assert errors(tmp_path, [FAR, NEAR], [(0, 0, WALL + 0.3)], 0.31) == pytest.approx([BOTH], rel=1e-4)


def test_more_photos_of_the_same_error_do_not_make_it_smaller(tmp_path: Path) -> None:
    many = [(plane_view(f"{number}.png"), 0.01) for number in range(20)]
    assert errors(tmp_path, many, [(0, 0, WALL)], 0.0) == pytest.approx([0.04], rel=1e-5)


def test_pixels_without_depth_say_nothing(tmp_path: Path) -> None:
    assert np.isnan(errors(tmp_path, [(FAR[0], 0.0)], [(0, 0, WALL)], 1.0)).all()
    assert np.isnan(errors(tmp_path, [], [(0, 0, WALL)], 1.0)).all()


def test_a_file_without_sigma_is_an_error(tmp_path: Path) -> None:
    errors(tmp_path, [FAR], [(0, 0, WALL)], 1.0)
    depths = SceneMaps(tmp_path / "depth")
    with pytest.raises(InputError, match=r"far\.npz has no 'sigma'"):
        vertex_sigma(np.zeros((1, 3), np.float32), [FAR[0]], depths, depths, 0.0)
