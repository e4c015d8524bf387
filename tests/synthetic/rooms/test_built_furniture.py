"""Furniture built in any size."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.synthetic.rooms import built_furniture
from lotus_recon.synthetic.rooms.materials import draw_palette
from tests.synthetic.rooms.plain_rooms import CATALOG


def test_made_is_as_large_as_its_mesh() -> None:
    random = np.random.default_rng(0)
    palette, finishes = draw_palette(CATALOG, random)
    shelf = built_furniture.shelving(random, finishes, palette, 1.8, 1.0)
    assert shelf.size[0] == pytest.approx(1.0)
    assert shelf.size[2] == pytest.approx(1.8, abs=0.03)
    assert shelf.scaled(1.1).size[2] == pytest.approx(1.1 * shelf.size[2])
