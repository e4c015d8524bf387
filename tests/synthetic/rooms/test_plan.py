"""Plans of rooms: walls, ceilings and openings."""

from __future__ import annotations

import pytest

from lotus_recon.synthetic.rooms.plan import Ceiling, Opening, Plan


def test_walls_enclose_the_floor_of_an_l_shape() -> None:
    plan = Plan(4.0, 3.0, Ceiling(0, (0.0,), (2.5,)), cuts=((2.5, 0.0, 4.0, 1.0),))
    assert sum(wall.length for wall in plan.walls) == pytest.approx(14.0)  # the perimeter of the rectangle, too
    area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in plan.cells)
    assert area == pytest.approx(4 * 3 - 1.5 * 1.0)
    assert len(plan.walls) == 6
    for wall in plan.walls:  # a step inside is in the room, a step outside is not
        inside, outside = wall.point(wall.length / 2, 0.01), wall.point(wall.length / 2, -0.01)
        assert any(x0 < inside[0] < x1 and y0 < inside[1] < y1 for x0, y0, x1, y1 in plan.cells)
        assert not any(x0 < outside[0] < x1 and y0 < outside[1] < y1 for x0, y0, x1, y1 in plan.cells)


def test_a_gable_is_highest_at_its_ridge() -> None:
    ceiling = Ceiling(1, (0.0, 2.0, 4.0), (1.8, 3.0, 1.8))
    assert ceiling.at(7.0, 2.0) == 3.0
    assert ceiling.at(7.0, 1.0) == pytest.approx(2.4)


def test_opening_ends() -> None:
    opening = Opening("window", 0, 1.0, 1.5, 0.9, 1.2)
    assert opening.end == pytest.approx(2.5)
    assert opening.top == pytest.approx(2.1)
