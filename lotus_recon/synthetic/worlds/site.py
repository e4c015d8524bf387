"""A place that is being filled: parts, credits, and where something stands already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.assets import Furniture
from lotus_recon.synthetic.rooms.catalog import ModelPart
from lotus_recon.synthetic.rooms.scene import Credit, Lamp, Part, Room
from lotus_recon.synthetic.rooms.sky_light import Sky
from lotus_recon.synthetic.rooms.solids import placed_parts, turned_pose
from lotus_recon.synthetic.shapes import joined
from lotus_recon.synthetic.worlds.assets import Assets

log = logging.getLogger(__name__)

MOST_TRIANGLES = 1_500_000
_TRIES = 12


@dataclass(eq=False)
class Site:
    """What was put where so far; x, y and z in metres, z up."""

    random: np.random.Generator
    assets: Assets
    parts: list[Part] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius
    subjects: list[tuple[NDArray[np.float64], float]] = field(default_factory=list)  # middle (3,), height
    triangles: int = 0

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.random.random() < probability)

    def uniform(self, low: float, high: float) -> float:
        """A number in between."""
        return float(self.random.uniform(low, high))

    def put(self, name: str, model: Sequence[ModelPart], pose: NDArray[np.float64], scale: float = 1.0) -> None:
        """Place a model by its ``pose`` (4, 4)."""
        self.triangles += sum(len(part.mesh.triangles) for part in model)
        self.parts += placed_parts(name, model, pose, scale)

    def is_free(self, x: float, y: float, radius: float) -> bool:
        """Whether nothing stands within ``radius`` of a place."""
        return all(np.hypot(x - a, y - b) > radius + r for a, b, r in self.taken)

    def stand(
        self, furniture: Furniture, x: float, y: float, z: float, turn: float, scale: float = 1.0, subject: bool = False
    ) -> bool:
        """Stand a model of the catalog somewhere, unless something does or it cannot be read."""
        radius = scale * float(np.hypot(*furniture.size_m[:2])) / 2
        if not self.is_free(x, y, 0.8 * radius) or self.triangles > MOST_TRIANGLES:
            return False
        try:
            model, credit = self.assets.model(furniture)
        except InputError as error:
            log.debug("%s is left out: %s", furniture.name, error)
            return False
        self.put(furniture.name, model, turned_pose(x, y, z, turn), scale)
        self.credits.append(credit)
        self.taken.append((x, y, 0.8 * radius))
        if subject:
            height = scale * furniture.size_m[2]
            self.subjects.append((np.array([x, y, z + height / 2]), height))
        return True

    def pick(self, choices: Sequence[Furniture]) -> Furniture:
        """Any of them."""
        return choices[int(self.random.integers(len(choices)))]

    def finished(self, lamps: Sequence[Lamp] = (), ambient: float = 0.1, sky: Sky | None = None) -> Room:
        """The place with as few parts as it has materials."""
        groups: dict[int, list[Part]] = {}
        for part in self.parts:
            groups.setdefault(id(part.material), []).append(part)
        parts = tuple(_joined(group) for group in groups.values())
        low = np.min([part.mesh.vertices.min(0) for part in parts], axis=0)
        high = np.max([part.mesh.vertices.max(0) for part in parts], axis=0)
        width, depth, height = (float(side) for side in high - low)
        credits = tuple(dict.fromkeys(self.credits))
        return Room(parts, tuple(lamps), (width, depth, height), (ambient,) * 3, credits, sky)


def _joined(group: list[Part]) -> Part:
    if len(group) == 1:
        return group[0]
    uvs = [part.uv for part in group if part.uv is not None]
    uv = np.concatenate(uvs) if len(uvs) == len(group) else None
    return Part(group[0].name, joined([part.mesh for part in group]), group[0].material, uv)
