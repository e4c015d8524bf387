"""Colours and finishes of rooms."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, hsv_color, refinished
from lotus_recon.synthetic.rooms.scene import Material
from lotus_recon.synthetic.rooms.solids import slabs
from tests.synthetic.rooms.plain_rooms import CATALOG


def test_colours_are_linear() -> None:
    assert hsv_color(0, 1, 1) == pytest.approx((1, 0, 0))
    assert hsv_color(1.3, 0, 0.5) == pytest.approx((0.2140411,) * 3)


def test_finishes_remember_whose_textures_they_drew() -> None:
    finishes = Finishes(CATALOG, np.random.default_rng(0))
    assert finishes.textured(("no such category",)) is None
    drawn = [finishes.textured(("floor", "wall")) for _ in range(40)]
    assert {finish.material.name for finish in drawn if finish} == {credit.asset for credit in finishes.credits}


def test_new_finishes_leave_shapes_and_lamps_alone() -> None:
    random = np.random.default_rng(1)
    finishes = Finishes(CATALOG, random)
    bulb = ModelPart(slabs((0, 0, 0, 9, 9, 9)), Material("bulb", emission=(1, 1, 1)))
    seat = ModelPart(slabs((0, 0, 0, 1, 1, 1)), Material("seat"))
    for _ in range(10):
        new = refinished((bulb, seat), "chair", finishes, random, chance=1.0)
        assert new[0] is bulb
        assert new[1].mesh is seat.mesh
    assert refinished((bulb, seat), "appliance", finishes, random, chance=1.0) == (bulb, seat)
