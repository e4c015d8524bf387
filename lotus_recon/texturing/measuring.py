"""How good a texture is: its seams, and its pictures beside photos that took no part in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.texturing.charts import Charts
from lotus_recon.texturing.photos import Loaded
from lotus_recon.texturing.rendering import hits, psnr, ssim, textured
from lotus_recon.texturing.surface import Surface
from lotus_recon.types import BoolArray, FloatArray, IntArray

_EDGES = 100_000  # borders that are looked at
_GRAY = np.array([0.299, 0.587, 0.114])

Shade = Callable[[FloatArray, IntArray], FloatArray]  # barycentric (M, 3) and triangle (M,) to colour (M, 3)


@dataclass(frozen=True)
class Seams:
    """Mean difference of colour in grey levels, over the same distances: across chart borders, and beside them."""

    across: float
    inside: float

    @property
    def ratio(self) -> float:
        """1 where borders cannot be told from what is around them."""
        return self.across / max(self.inside, 1e-6)


def seams(charts: Charts, pages: Sequence[NDArray[np.uint8]], seen: BoolArray, surface: Surface) -> Seams:
    """Of the borders between ``seen`` (F,) triangles of different charts.

    With h the height of the lower of the two triangles over their edge, colours are taken h / 4 and 3 h / 4 from the
    edge in both: the nearer two differ across the border, those of one triangle inside a chart.
    """
    neighbors = surface.neighbors
    face, edge = np.nonzero((neighbors >= 0) & (neighbors > np.arange(len(neighbors))[:, None]))
    other = neighbors[face, edge]
    border = seen[face] & seen[other] & (charts.chart[face] != charts.chart[other])
    chosen = np.flatnonzero(border)[:: max(1, int(border.sum()) // _EDGES)]
    if len(chosen) == 0:
        return Seams(0.0, 0.0)
    face, edge, other = face[chosen], edge[chosen], other[chosen]
    back = np.argmax(neighbors[other] == face[:, None], axis=1)
    heights = [_height(one, side, surface) for one, side in ((face, edge), (other, back))]
    lower = np.minimum(*heights)
    colors = [
        [textured(_inside(side, share * lower / height), one, charts, pages) for share in (0.25, 0.75)]
        for one, side, height in ((face, edge, heights[0]), (other, back, heights[1]))
    ]
    across = np.abs(colors[0][0] - colors[1][0])
    inside = (np.abs(colors[0][0] - colors[0][1]) + np.abs(colors[1][0] - colors[1][1])) / 2
    return Seams(float(across.mean()), float(inside.mean()))


def _height(face: IntArray, edge: IntArray, surface: Surface) -> NDArray[np.float64]:
    """(N,) of triangles over their edges."""
    corners = surface.mesh.vertices[surface.mesh.triangles[face]].astype(np.float64)
    rows = np.arange(len(face))
    a, b, c = (corners[rows, (edge + i) % 3] for i in range(3))
    length = np.maximum(np.linalg.norm(b - a, axis=1), 1e-30)
    return np.maximum(np.linalg.norm(np.cross(b - a, c - a), axis=1) / length, 1e-30)


def _inside(edge: IntArray, share: FloatArray) -> NDArray[np.float64]:
    """(N, 3) barycentric position at a ``share`` (N,) of the height over the middle of an edge."""
    rows = np.arange(len(edge))
    position = np.empty((len(edge), 3))
    position[rows, edge] = position[rows, (edge + 1) % 3] = (1 - share) / 2
    position[rows, (edge + 2) % 3] = share
    return position


@dataclass(frozen=True)
class Comparison:
    """A picture beside a photo, over what a photo colours: PSNR in dB, after the best gain per channel, and SSIM."""

    psnr_db: float
    ssim: float


def compared(photo: Loaded, seen: BoolArray, shades: Sequence[Shade], surface: Surface) -> list[Comparison]:
    """Pictures in each of ``shades`` beside a photo, where they show ``seen`` (F,) triangles.

    Nobody knows the exposure of a photo that took no part, so a gain per channel is fitted, to all alike. Empty where
    the photo shows nothing of the surface.
    """
    pixel, bary, face = hits(photo.view, surface)
    kept = seen[face]
    if photo.usable is not None:
        kept &= photo.usable.ravel()[pixel]
    pixel, bary, face = pixel[kept], bary[kept], face[kept]
    if len(pixel) == 0:
        return []
    true = photo.rgb.reshape(-1, 3).astype(np.float64)
    results = []
    for shade in shades:
        color = shade(bary, face)
        color = color * (true[pixel] * color).sum(0) / np.maximum((color**2).sum(0), 1e-9)
        picture = true.copy()
        picture[pixel] = color
        gray = [(image @ _GRAY).reshape(photo.rgb.shape[:2]) for image in (picture, true)]
        shown = np.zeros(len(true), bool)
        shown[pixel] = True
        results.append(Comparison(psnr(color, true[pixel]), ssim(gray[0], gray[1], shown.reshape(gray[0].shape))))
    return results


def vertex_shade(colors: NDArray[np.floating[Any]], surface: Surface) -> Shade:
    """Colours (V, 3) interpolated between vertices."""
    triangles = surface.mesh.triangles
    return lambda bary, face: np.asarray((colors[triangles[face]] * bary[..., None]).sum(1))


def texture_shade(charts: Charts, pages: Sequence[NDArray[np.uint8]]) -> Shade:
    """Colours of the texture, whose pages are (H, W, 3)."""
    return lambda bary, face: textured(bary, face, charts, pages)


def means(rows: Iterable[Comparison]) -> dict[str, float]:
    """Mean PSNR and SSIM by name; empty without any."""
    rows = list(rows)
    if not rows:
        return {}
    return {
        "psnr_db": float(np.mean([row.psnr_db for row in rows])),
        "ssim": float(np.mean([row.ssim for row in rows])),
    }
