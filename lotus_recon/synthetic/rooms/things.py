"""Things to furnish a room with, and the sampler that takes them from a catalog, in new sizes and colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from lotus_recon.synthetic.rooms.catalog import Catalog, Furniture, Model, ModelPart
from lotus_recon.synthetic.rooms.materials import Finishes, refinished
from lotus_recon.synthetic.rooms.scene import Credit
from lotus_recon.synthetic.rooms.solids import moved

Size = tuple[float, float, float]
ANY_SIZE: Size = (np.inf, np.inf, np.inf)
_TRIES = 6
_SHARE_OF_BUDGET = 0.22  # what one model may take of the triangles that are left
_SMALL_CAP = 9_000  # triangles of a small thing: there are many of them
_SMALL_GROUPS = ("clutter", "wall_thing")


@dataclass(frozen=True, eq=False)
class Thing:
    """Something to place. Axes as in the catalog: standing on z = 0, centred, back towards +y; metres."""

    name: str
    group: str
    parts: Model
    size: Size  # width, depth, height
    elevation: float = 0.0
    credit: Credit | None = None

    @property
    def triangles(self) -> int:
        """Their number."""
        return sum(len(part.mesh.triangles) for part in self.parts)

    def scaled(self, factor: float) -> Thing:
        """The same thing, larger or smaller."""
        parts = tuple(replace(part, mesh=moved(part.mesh, np.eye(4), factor)) for part in self.parts)
        w, d, h = self.size
        return replace(self, parts=parts, size=(w * factor, d * factor, h * factor))


def made(name: str, group: str, parts: Sequence[ModelPart]) -> Thing:
    """A thing of our own making; its size is that of its meshes, which stand centred on the origin."""
    vertices = np.concatenate([part.mesh.vertices for part in parts])
    width, depth = (float(v) for v in 2 * np.abs(vertices[:, :2]).max(0))
    return Thing(name, group, tuple(parts), (width, depth, float(vertices[:, 2].max())))


class Budget(Protocol):
    """Knows how many triangles a room may still get."""

    @property
    def triangles_left(self) -> int:
        """Their number."""


class AssetSampler:
    """Samples the assets of one room from a catalog, within its budget of triangles."""

    def __init__(self, catalog: Catalog, finishes: Finishes, random: np.random.Generator, budget: Budget) -> None:
        self._catalog, self._random, self._budget = catalog, random, budget
        self.finishes = finishes
        self._groups: dict[str, list[Furniture]] = {}
        for furniture in catalog.furniture:
            self._groups.setdefault(furniture.category, []).append(furniture)

    def pick(
        self,
        group: str,
        at_most: Size = ANY_SIZE,
        at_least: Size = (0.0, 0.0, 0.0),
        like: str = "",
        recolor: float = 0.5,
    ) -> Thing | None:
        """A random thing of a group within sizes, by name if ``like`` (a pattern) fits any; None: there is none."""
        fitting = [f for f in self._groups.get(group, ()) if _within(f.size_m, at_least, at_most)]
        named = [f for f in fitting if re.search(like, f.name.lower())] if like else fitting
        if not named:
            return None
        most = min(_SHARE_OF_BUDGET * self._budget.triangles_left, _SMALL_CAP if group in _SMALL_GROUPS else np.inf)
        for index in self._random.permutation(len(named))[:_TRIES]:
            furniture = named[int(index)]
            model = self._catalog.model(furniture)
            if 0 < sum(len(part.mesh.triangles) for part in model) <= most:
                return self._prepared(furniture, model, at_most, recolor)
        return None

    def _prepared(self, furniture: Furniture, model: Model, at_most: Size, recolor: float) -> Thing:
        parts = refinished(model, furniture.category, self.finishes, self._random, recolor)
        thing = Thing(
            furniture.name, furniture.category, parts, furniture.size_m, furniture.elevation_m, furniture.credit
        )
        room = min((most / size for most, size in zip(at_most, furniture.size_m, strict=True)), default=1.0)
        return thing.scaled(min(float(self._random.uniform(0.9, 1.15)), float(room)))


def _within(size: Size, at_least: Size, at_most: Size) -> bool:
    return all(low <= value <= high for low, value, high in zip(at_least, size, at_most, strict=True))
