"""Points in the world, looked for in views."""

from __future__ import annotations

import numpy as np

from lotus_recon.geometry.points import in_view
from lotus_recon.types import Camera, View


def test_points_in_a_view_are_those_ahead_that_fall_on_a_pixel() -> None:
    camera, cam_from_world = Camera(40, 30, 20.0, 20.0, 20.0, 15.0), np.eye(4)
    cam_from_world[2, 3] = 1.0  # the camera stands at z = -1
    points = np.array(
        [
            [0.0, 0.0, 1.0],
            [0.0, 0.0, -1.5],  # behind
            [2.0, 0.0, 1.0],  # on the right border, column 40
            [1.99, -1.5, 1.0],  # the last column of the first row
            [0.0, 1.6, 1.0],  # below
            [0.0, 0.0, -1.0],  # in the centre of the camera
        ]
    )
    index, (row, col), z = in_view(points, View("a.png", camera, cam_from_world))
    assert index.tolist() == [0, 3]
    assert list(zip(row, col, strict=True)) == [(15, 20), (0, 39)]
    assert z.tolist() == [2.0, 2.0]
