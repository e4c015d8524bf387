"""Pictures with holes as geometry."""

from __future__ import annotations

import numpy as np

from lotus_recon.synthetic.worlds.cutting_out import cut_out, is_cut_out
from tests.synthetic.worlds.plain_worlds import disc_picture, square


def area(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1).sum() / 2)


def test_what_is_left_of_a_disc_has_its_area_and_its_place() -> None:
    points, uv = square(side=2.0)
    left, left_uv = cut_out(points, uv, disc_picture()[..., 3])
    assert np.isclose(area(left), np.pi * 0.6**2, rtol=0.05)  # radius 0.3 of a picture 2 m wide
    assert np.linalg.norm(left[..., :2], axis=-1).max() < 0.66
    assert np.allclose(left[..., :2], 2 * left_uv - 1, atol=1e-5), "uv moves with the points"


def test_a_repeated_picture_is_cut_out_as_often() -> None:
    points, uv = square(side=2.0)
    once, _ = cut_out(points, uv, disc_picture()[..., 3])
    thrice, _ = cut_out(points, 3 * uv, disc_picture()[..., 3])
    assert np.isclose(area(thrice), area(once), rtol=0.05)


def test_what_is_opaque_or_all_transparent_is_no_cut_out() -> None:
    disc = disc_picture()
    assert is_cut_out(disc)
    for opacity in (0, 255):
        picture = disc.copy()
        picture[..., 3] = opacity
        assert not is_cut_out(picture)
