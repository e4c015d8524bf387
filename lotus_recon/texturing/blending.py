"""How much each photo counts at each vertex, and by how much its colour is corrected there.

Photos differ by more than their exposure (vignetting, sheen, a lamp that was turned). The texture takes its low
frequencies from all photos together and its detail from the chosen one, as in multi-band blending: the difference of a
photo from the common colour, smoothed over the surface, is added to it. At a vertex all photos then have the same low
frequencies, whatever chart it is in, and the mean is held. Around the border of a chart the photos are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lotus_recon.texturing.selection import Agreement
from lotus_recon.texturing.surface import Surface
from lotus_recon.texturing.table import SightingTable
from lotus_recon.types import BoolArray, IntArray

_LEAST_WEIGHT = 0.02  # of the photo that was chosen, and of any other that is worth painting


@dataclass(frozen=True)
class Bands:
    """Rounds of averaging over neighbouring vertices: of the correction, and of the share of a photo (the strip)."""

    correction: int = 12
    strip: int = 3


@dataclass(frozen=True, eq=False)
class Contribution:
    """What one photo adds: N triangles, and the weights (N, 3) and changes of colour (N, 3, 3) at their corners."""

    faces: NDArray[np.int64]
    weights: NDArray[np.float32]
    changes: NDArray[np.float32]


class Blender:
    """The contributions of the photos, given which row of the table colours each triangle."""

    def __init__(
        self, table: SightingTable, agreement: Agreement, chosen: IntArray, surface: Surface, bands: Bands
    ) -> None:
        self._table, self._agreement, self._surface, self._bands = table, agreement, surface, bands
        used = chosen >= 0
        self.labels = np.where(used, table.view[chosen], -1).astype(np.int32)
        self._order = np.argsort(table.view, kind="stable")
        self._first = np.searchsorted(table.view[self._order], np.arange(int(table.view.max(initial=0)) + 2))
        self._degree = np.bincount(surface.mesh.triangles.ravel(), minlength=len(surface.mesh.vertices))

    def contribution(self, view: int) -> Contribution:
        """What the photo of ``view`` adds."""
        table, surface = self._table, self._surface
        triangles = surface.mesh.triangles
        rows = self._order[self._first[view] : self._first[view + 1]]
        good = rows[table.whole[rows] & ~self._agreement.disagrees[rows]]
        labelled = np.flatnonzero(self.labels == view)
        inner, graph = self._domain(table.face[good])
        change = self._correction(good, inner, graph)
        weight = self._share(labelled, inner, graph)
        strip = table.face[good][(weight[triangles[table.face[good]]] > _LEAST_WEIGHT).any(1)]
        faces = np.union1d(labelled, strip)
        weights = weight[triangles[faces]]
        own = self.labels[faces] == view
        weights[own] = np.maximum(weights[own], _LEAST_WEIGHT)
        return Contribution(faces, weights.astype(np.float32), change[triangles[faces]])

    def _domain(self, faces: IntArray) -> tuple[BoolArray, _Restricted]:
        """(V,) vertices all around which the photo sees the surface, and the graph of those at its triangles."""
        triangles = self._surface.mesh.triangles
        around = np.bincount(triangles[faces].ravel(), minlength=len(self._degree))
        inner = (around == self._degree) & (around > 0)
        touched = np.flatnonzero(around > 0)
        return inner, _Restricted(self._surface.vertex_graph[touched][:, touched], touched, len(inner))

    def _correction(self, rows: IntArray, inner: BoolArray, graph: _Restricted) -> NDArray[np.float32]:
        """(V, 3) smooth difference of the common colour from that of the photo; 0 where it is not known."""
        table, triangles = self._table, self._surface.mesh.triangles
        difference = self._agreement.color[table.face[rows]] - table.color[rows]
        values = np.zeros((len(inner), 4), np.float32)
        corners = triangles[table.face[rows]].ravel()
        for k in range(3):
            values[:, k] = np.bincount(corners, np.repeat(difference[:, k], 3), minlength=len(inner))
        values[:, 3] = np.bincount(corners, minlength=len(inner))
        values = graph.averaged(values, self._bands.correction)
        return np.asarray(values[:, :3] / np.maximum(values[:, 3:], 1e-12), np.float32)

    def _share(self, labelled: IntArray, inner: BoolArray, graph: _Restricted) -> NDArray[np.float32]:
        """(V,) share of the photo in the colour: 1 inside its charts, falling to 0 around; 0 where it does not see."""
        own = np.bincount(self._surface.mesh.triangles[labelled].ravel(), minlength=len(inner))
        share = (own / np.maximum(self._degree, 1)).astype(np.float32)[:, None]
        for _ in range(self._bands.strip):
            share = graph.averaged(share, 1)
            share[~inner] = 0
        share[~inner] = 0
        return np.asarray(share[:, 0])


class _Restricted:
    """Averaging over neighbours among some vertices."""

    def __init__(self, graph: sparse.csr_matrix, vertices: IntArray, count: int) -> None:
        sums = np.maximum(np.asarray(graph.sum(1)).ravel(), 1)
        self._mean = sparse.diags((1 / sums).astype(np.float32)) @ graph
        self._vertices, self._count = vertices, count

    def averaged(self, values: NDArray[np.float32], rounds: int) -> NDArray[np.float32]:
        """(V, C) after some rounds; 0 at other vertices."""
        inside = values[self._vertices]
        for _ in range(rounds):
            inside = self._mean @ inside
        result = np.zeros((self._count, values.shape[1]), np.float32)
        result[self._vertices] = inside
        return result
