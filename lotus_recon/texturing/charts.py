"""Charts: connected triangles that take their colour from one photo, laid out as that photo shows them, and packed.

There is no unwrapping: what a photo sees of a surface it sees without overlap, so its projection is a chart, with as
many texels as the photo has pixels. Triangles that no photo sees are laid out as seen along the axis that they face.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import project
from lotus_recon.geometry.pose import transform
from lotus_recon.texturing.packing import Packing, pack
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import FloatArray, IntArray, View

log = logging.getLogger(__name__)

PADDING = 4  # texels around each chart that are its own
_LEAST_SIDE = 2.0  # texels of a chart
_UNSEEN_EDGE = 2.0  # texels of the median edge of what no photo sees: its colours are smooth
_AXES = 6
_SHRINK = 0.96
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, eq=False)
class Charts:
    """N texture vertices, each a vertex of the mesh in one chart, and the triangles (F, 3) between them."""

    triangles: NDArray[np.int32]  # (F, 3) texture vertices
    vertex: NDArray[np.int32]  # (N,) of the mesh
    uv: NDArray[np.float32]  # (N, 2) texels of the page, x right and y down, the first texel centre at (0.5, 0.5)
    page: NDArray[np.int32]  # (F,)
    chart: NDArray[np.int32]  # (F,)
    pages: int
    size: tuple[int, int]  # (width, height) of a page in texels
    scale: float  # texels per pixel of a photo

    @property
    def corners_uv(self) -> NDArray[np.float32]:
        """(F, 3, 2) texels."""
        return np.ascontiguousarray(self.uv[self.triangles])


@dataclass(frozen=True)
class AtlasLimits:
    """``side`` of a page in texels (None: what the photos resolve, up to ``largest``), and most texels of all pages."""

    side: int | None
    largest: int
    texels: int


def make_charts(
    labels: NDArray[np.int32], whole: NDArray[np.bool_], views: Sequence[View], surface: Surface, limits: AtlasLimits
) -> Charts:
    """Charts of triangles labelled (F,) with the view that colours them (-1: none), packed into pages.

    Triangles that are not seen ``whole`` get charts of their own: they may lie behind others.
    """
    group = np.where(labels >= 0, 2 * labels + whole, 2 * len(views) + _axis(surface.normals))
    chart = _components(group, surface)
    triangles, vertex, chart_of_vertex = _texture_vertices(surface.mesh.triangles, chart)
    xy = _laid_out(labels, group, chart, vertex, chart_of_vertex, views, surface)
    packing, scale, xy = _packed(xy, chart_of_vertex, int(chart.max()) + 1, limits)
    uv = xy + packing.corner[chart_of_vertex]
    page = packing.page[chart].astype(np.int32)
    return Charts(triangles, vertex, uv.astype(np.float32), page, chart, packing.pages, packing.size, scale)


def _axis(normals: FloatArray) -> IntArray:
    """(F,) 0 to 5: the axis and direction that each normal is nearest to."""
    axis = np.abs(normals).argmax(1)
    return np.asarray(2 * axis + (normals[np.arange(len(normals)), axis] > 0))


def _components(group: IntArray, surface: Surface) -> NDArray[np.int32]:
    """(F,) number of the connected set of triangles of one group."""
    F = len(group)
    face, across = np.repeat(np.arange(F), 3), surface.neighbors.ravel()
    joined = across >= 0
    joined[joined] = group[face[joined]] == group[across[joined]]
    graph = sparse.coo_matrix((np.ones(int(joined.sum()), np.int8), (face[joined], across[joined])), shape=(F, F))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def _texture_vertices(
    triangles: IntArray, chart: IntArray
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """(F, 3) texture vertices; (N,) vertex of the mesh and chart of each."""
    key = chart.astype(np.int64)[:, None] * (int(triangles.max()) + 1) + triangles
    unique, inverse = np.unique(key.ravel(), return_inverse=True)
    chart_of, vertex = np.divmod(unique, int(triangles.max()) + 1)
    return inverse.reshape(-1, 3).astype(np.int32), vertex.astype(np.int32), chart_of.astype(np.int32)


def _laid_out(
    labels: IntArray,
    group: IntArray,
    chart: IntArray,
    vertex: IntArray,
    chart_of_vertex: IntArray,
    views: Sequence[View],
    surface: Surface,
) -> NDArray[np.float64]:
    """(N, 2) each texture vertex in pixels of the photo of its chart, or along the axis that the chart faces."""
    first = np.zeros(int(chart.max()) + 1, np.int64)
    first[chart] = np.arange(len(chart))
    label, axis = labels[first[chart_of_vertex]], group[first[chart_of_vertex]] - 2 * len(views)
    xy = np.zeros((len(vertex), 2))
    points = surface.mesh.vertices[vertex].astype(np.float64)
    for index, view in enumerate(views):
        own = np.flatnonzero(label == index)
        xy[own] = project(transform(view.cam_from_world, points[own]), view.camera)
    density = _UNSEEN_EDGE / max(_median_edge(surface), 1e-30)
    for number in range(_AXES):
        own = np.flatnonzero((label < 0) & (axis == number))
        xy[own] = np.delete(points[own], number // 2, axis=1) * density
    return xy


def _median_edge(surface: Surface) -> float:
    a, b = (surface.mesh.vertices[surface.mesh.triangles[::7, i]] for i in (0, 1))
    return float(np.median(np.linalg.norm(a - b, axis=1)))


def _packed(
    xy: FloatArray, chart: IntArray, n_charts: int, limits: AtlasLimits
) -> tuple[Packing, float, NDArray[np.float64]]:
    """Where the charts go, at one texel per pixel or as many as the limits allow; and (N, 2) from their own corners.

    Raises InputError when the limits do not allow even the smallest charts.
    """
    low, high = np.full((n_charts, 2), np.inf), np.full((n_charts, 2), -np.inf)
    np.minimum.at(low, chart, xy)
    np.maximum.at(high, chart, xy)
    extent = high - low
    scale = 1.0
    while scale >= _LEAST_SCALE:
        own = np.maximum(scale, _LEAST_SIDE / np.maximum(extent.max(1), 1e-6))
        start = np.floor(low * own[:, None])  # whole pixels: texel centres are pixel centres, nothing is resampled
        sizes = np.ceil(high * own[:, None]) - start + 2 * PADDING
        packing = pack(sizes.astype(np.int64), limits.side, limits.largest, limits.texels)
        if packing is not None:
            return packing, scale, xy * own[chart, None] - start[chart] + PADDING
        scale *= _SHRINK
    least = int(np.ceil(np.sqrt(n_charts) * (2 * PADDING + _LEAST_SIDE)))
    raise InputError(
        f"the texture would have {n_charts} charts, which need more than {least} x {least} pixels: allow more with "
        "--texture-size and --texture-budget, or take fewer --texture-faces"
    )
