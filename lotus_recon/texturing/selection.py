"""Which photo colours which triangle.

As in Waechter, Moehrle, Goesele, "Let there be color! Large-scale texturing of 3D reconstructions", ECCV 2014: detail
on the projected triangle decides, photos that disagree with the others about a triangle do not colour it, and
neighbours prefer the same photo (Potts).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.texturing.selection_kernels import label_faces, robust_colors
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import BoolArray, FloatArray

_REGION_ROUNDS = 4  # of averaging over neighbouring vertices, in which disagreement must persist
_INSIDE_SHARE = 0.4  # of the surroundings that disagree, from which a triangle does even if its own colour fits
_EDGE_SHARE = 0.15  # below which a triangle agrees even if its own colour does not: noise, not a region
_FLAT_DETAIL = 3.0  # grey levels per pixel: less than that is noise, and area decides
_PARTLY_HIDDEN, _DISAGREES = 6.0, 12.0  # costs
_OFF_COLOR = 15.0  # grey levels off the common colour that cost 1
_SMOOTHNESS = 1.0  # cost of a neighbour with another photo
_CANDIDATES = 12  # photos of a triangle that are considered
_SWEEPS = 30


@dataclass(frozen=True, eq=False)
class Agreement:
    """What the photos say together: the common colour (F, 3) of each triangle, and who disagrees (E,)."""

    color: NDArray[np.float32]
    disagrees: BoolArray


def agreement_of(table: SightingTable, clipped: BoolArray, surface: Surface, n_views: int) -> Agreement:
    """Photos that show something else than most others, over a region and not just at a triangle (people, reflections).

    ``clipped`` (E,) sightings count as disagreeing. Where all would be out, none is.
    """
    weight = np.where(table.whole, 1.0, 0.1) * np.maximum(table.inset, 0.02) * np.sqrt(table.area_px + 0.1)
    weight = np.where(clipped, 1e-3 * weight, weight).astype(np.float32)
    color = np.zeros((len(table.start) - 1, 3), np.float32)
    alone = np.zeros(len(table.face), bool)
    robust_colors(table.start, table.color, weight, table.detail, alone, color)
    disagrees = _persistent(alone | clipped, table, surface, n_views)
    some_left = np.bincount(table.face[~disagrees], minlength=len(color)) > 0
    disagrees &= some_left[table.face]
    weight[disagrees] = 0
    total = np.bincount(table.face, weight, minlength=len(color))
    for k in range(3):
        mean = np.bincount(table.face, weight * table.color[:, k], minlength=len(color))
        color[:, k] = mean / np.maximum(total, 1e-20)
    return Agreement(color, disagrees)


def _persistent(alone: BoolArray, table: SightingTable, surface: Surface, n_views: int) -> BoolArray:
    """(E,) where the photo disagrees on a good part of the surroundings."""
    disagrees = np.zeros(len(alone), bool)
    graph, of_vertices = surface.vertex_graph, surface.faces_of_vertices
    values = np.zeros((len(surface.mesh.triangles), 2), np.float32)
    for view in range(n_views):
        rows = np.flatnonzero(table.view == view)
        if not alone[rows].any():
            continue
        values[:] = 0
        values[table.face[rows], 0] = alone[rows]
        values[table.face[rows], 1] = 1
        at_vertices = of_vertices @ values
        for _ in range(_REGION_ROUNDS):
            at_vertices = graph @ at_vertices
        share = at_vertices[:, 0] / np.maximum(at_vertices[:, 1], 1e-20)
        around = share[surface.mesh.triangles[table.face[rows]]].mean(1)
        disagrees[rows] = around > np.where(alone[rows], _EDGE_SHARE, _INSIDE_SHARE)
    return disagrees


def select_views(table: SightingTable, agreement: Agreement, surface: Surface) -> NDArray[np.int64]:
    """(F,) row of the table that colours each triangle; -1 where no photo sees it."""
    costs = _costs(table, agreement)
    rows = _cheapest(table, costs)
    used = rows >= 0
    labels = np.where(used, table.view[rows], -1).astype(np.int32)
    cost = np.where(used, costs[rows], np.float32(0))
    chosen = label_faces(labels, cost, surface.neighbors, _SMOOTHNESS, _SWEEPS)
    return np.where(chosen >= 0, rows[np.arange(len(rows)), chosen], -1)


def _costs(table: SightingTable, agreement: Agreement) -> NDArray[np.float32]:
    """(E,) of colouring a triangle from a photo: 0 for the one with the most detail."""
    quality = table.area_px * (table.detail + _FLAT_DETAIL) + 1e-6
    quality = np.where(table.whole & ~agreement.disagrees, quality, 1e-6)
    best = np.zeros(len(table.start) - 1)
    np.maximum.at(best, table.face, quality)
    off = np.abs(table.color - agreement.color[table.face]).max(1) / _OFF_COLOR
    cost = np.minimum(-np.log(quality / best[table.face]), 4.0) + np.minimum(off**2, 4.0)
    return (cost + _PARTLY_HIDDEN * ~table.whole + _DISAGREES * agreement.disagrees).astype(np.float32)


def _cheapest(table: SightingTable, costs: FloatArray) -> NDArray[np.int64]:
    """(F, K) rows of the cheapest photos of each triangle, -1 where there are fewer."""
    order = np.lexsort((costs, table.face))
    rank = np.arange(len(order)) - table.start[table.face[order]]
    kept = rank < _CANDIDATES
    rows = np.full((len(table.start) - 1, min(_CANDIDATES, max(int(table.count.max(initial=1)), 1))), -1, np.int64)
    rows[table.face[order[kept]], rank[kept]] = order[kept]
    return rows
