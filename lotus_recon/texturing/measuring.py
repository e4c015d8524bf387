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

_SPACING = 1.0  # texels between the two places that are compared
_EDGES = 50_000  # that are looked at, of each kind
_GRAY = np.array([0.299, 0.587, 0.114])

Shade = Callable[[FloatArray, IntArray], FloatArray]  # barycentric (M, 3) and triangle (M,) to colour (M, 3)


@dataclass(frozen=True)
class Seams:
    """Mean difference of colour in grey levels over one texel: across chart borders, and beside them inside charts."""

    across: float
    inside: float

    @property
    def ratio(self) -> float:
        """1 where borders cannot be told from what is around them."""
        return self.across / max(self.inside, 1e-6)


def seams(charts: Charts, pages: Sequence[NDArray[np.uint8]], seen: BoolArray, surface: Surface) -> Seams:
    """Of the borders between ``seen`` (F,) triangles."""
    across = surface.neighbors
    face, edge = np.nonzero((across >= 0) & (across > np.arange(len(across))[:, None]))
    other = across[face, edge]
    both = seen[face] & seen[other]
    face, edge, other = face[both], edge[both], other[both]
    border = charts.chart[face] != charts.chart[other]
    beside = np.zeros(len(across), bool)
    beside[face[border]] = beside[other[border]] = True
    inside = ~border & (beside[face] | beside[other])
    measured = []
    for chosen in (np.flatnonzero(border), np.flatnonzero(inside)):
        chosen = chosen[:: max(1, len(chosen) // _EDGES)]
        jump = _jumps(face[chosen], edge[chosen], other[chosen], charts, pages, surface)
        measured.append(float(jump.mean()) if len(jump) else 0.0)
    return Seams(*measured)


def _jumps(
    face: IntArray,
    edge: IntArray,
    other: IntArray,
    charts: Charts,
    pages: Sequence[NDArray[np.uint8]],
    surface: Surface,
) -> NDArray[np.float64]:
    """(N,) difference of colour between two places half a spacing to the left and right of the middle of an edge."""
    triangles = surface.mesh.triangles
    one = _near_edge(face, edge, charts)
    back = np.argmax(surface.neighbors[other] == face[:, None], axis=1)
    two = _near_edge(other, back, charts)
    assert triangles.shape[1] == 3
    difference = textured(one, face, charts, pages) - textured(two, other, charts, pages)
    return np.asarray(np.abs(difference).mean(1))


def _near_edge(face: IntArray, edge: IntArray, charts: Charts) -> NDArray[np.float64]:
    """(N, 3) barycentric position half a spacing inside each triangle from the middle of an edge."""
    uv = charts.corners_uv[face].astype(np.float64)
    rows = np.arange(len(face))
    a, b, c = (uv[rows, (edge + i) % 3] for i in range(3))
    along = b - a
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-9)
    height = np.abs(along[:, 0] * (c - a)[:, 1] - along[:, 1] * (c - a)[:, 0]) / length
    inward = np.minimum(_SPACING / 2 / np.maximum(height, 1e-9), 1 / 3)
    position = np.zeros((len(face), 3))
    position[rows, edge] = position[rows, (edge + 1) % 3] = (1 - inward) / 2
    position[rows, (edge + 2) % 3] = inward
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
        results.append(Comparison(psnr(color, true[pixel]), ssim(*gray, shown.reshape(gray[0].shape))))
    return results


def vertex_shade(colors: NDArray[np.floating[Any]], surface: Surface) -> Shade:
    """Colours (V, 3) interpolated between vertices."""
    triangles = surface.mesh.triangles
    return lambda bary, face: np.asarray((colors[triangles[face]] * bary[..., None]).sum(1))


def texture_shade(charts: Charts, pages: Sequence[NDArray[np.uint8]]) -> Shade:
    """Colours of the texture."""
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
