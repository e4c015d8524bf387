"""Groups of furniture by name and size."""

from __future__ import annotations

import pytest

from lotus_recon.synthetic.rooms.assets import GROUPS
from lotus_recon.synthetic.rooms.grouping import group_of


@pytest.mark.parametrize(
    ("category", "name", "size", "elevation", "group"),
    [
        ("Living room", "TV remote control", (0.04, 0.18, 0.02), 0, "clutter"),
        ("Living room", "TV unit", (1.0, 0.5, 0.9), 0, "tv_unit"),
        ("Living room", "Wall flat TV", (1.0, 0.1, 0.7), 1.0, "wall_tv"),
        ("Living room", "Table", (1.2, 0.7, 0.5), 0, "coffee_table"),
        ("Office", "Armchair", (0.6, 0.6, 1.0), 0, "chair"),
        ("Kitchen", "Upper cabinet", (0.6, 0.4, 0.7), 1.45, "kitchen_wall"),
        ("Lights", "Pendant lamp", (0.6, 0.6, 0.8), 1.7, "ceiling_lamp"),
        ("Lights", "Lamp", (0.4, 0.6, 1.4), 0, "floor_lamp"),
        ("Doors and windows", "Exterior door", (1.0, 0.2, 2.0), 0, "door"),
        ("Doors and windows", "Garage door", (2.5, 0.2, 2.0), 0, "other"),
        ("Bathroom", "Washbasin", (0.7, 0.4, 0.5), 0.42, "bathroom_wall"),
        ("Vehicles", "Truck", (2.0, 6.0, 3.0), 0, "other"),
        ("New things", "Something", (1.0, 1.0, 1.0), 0, "other"),
    ],
)
def test_groups(category: str, name: str, size: tuple[float, float, float], elevation: float, group: str) -> None:
    assert group in GROUPS
    assert group_of(category, name, size, elevation) == group
