"""Errors of a map that are alike in neighbouring places: a smooth part as a sum of cosines, extent of the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.types import FloatArray, IntArray

# The cosines live on the photo with this share of its width added all round, so that nothing holds them at its border.
_MARGIN = 0.15
# Highest wavenumber, in half waves per width of the photo, and the bands whose amplitudes are estimated apart.
_BANDS = np.array([0.0, 2.0, 3.5, 5.0, 6.5, 8.0, 10.0, 13.0])
_FIRST_RMS = 0.004  # of the range of the map: where the estimation of the amplitudes starts
_LARGEST_RMS = 0.04  # of the range, per band: larger errors are no longer a perturbation of the map
_SMALLEST = 1e-12  # variance, so that a band without any error can be told from noise


@dataclass(frozen=True, eq=False)
class _Waves:
    """Q products of two cosines of pixels that are moved by ``margin``: places on the two axes, radians per pixel."""

    margin: float
    i: NDArray[np.int64]  # (Q,)
    j: NDArray[np.int64]  # (Q,)
    wx: NDArray[np.float64]  # (Q,)
    wy: NDArray[np.float64]  # (Q,)


@dataclass(frozen=True, eq=False)
class SmoothBasis:
    """Q cosines at M places: values, slopes per pixel, and the band of each cosine."""

    value: NDArray[np.float64]  # (M, Q)
    slope_x: NDArray[np.float64]  # (M, Q)
    slope_y: NDArray[np.float64]  # (M, Q)
    band: NDArray[np.int64]  # (Q,)
    waves: _Waves

    @property
    def size(self) -> int:
        """Q."""
        return len(self.band)

    def slopes(self, coefficients: FloatArray) -> NDArray[np.float64]:
        """(M, 2) of the sum of the cosines, per pixel."""
        return np.stack([self.slope_x @ coefficients, self.slope_y @ coefficients], axis=-1)

    def first_variance(self) -> NDArray[np.float64]:
        """(B,) per band, the prior variance of a coefficient to start from."""
        return np.full(len(_BANDS) - 1, _FIRST_RMS**2 / (0.25 * max(self.size, 1)))

    def updated_variance(self, coefficients: FloatArray, variance: FloatArray) -> NDArray[np.float64]:
        """(bands,) prior variance of a coefficient, from estimates (Q,) and their variances (Q,).

        One step of expectation maximisation (MacKay, "Bayesian interpolation", Neural Computation 1992), bounded.
        """
        members = np.bincount(self.band, minlength=len(_BANDS) - 1)
        found = np.bincount(self.band, coefficients**2 + variance, len(_BANDS) - 1) / (members + 2)
        # The mean square of a product of two cosines is 1/4.
        return np.clip(found, _SMALLEST, _LARGEST_RMS**2 / (0.25 * np.maximum(members, 1)))

    def image(self, coefficients: FloatArray, width: int, height: int) -> NDArray[np.float64]:
        """(H, W) the sum of the cosines at every pixel of the photo."""
        waves = self.waves
        table = np.zeros((int(waves.j.max()) + 1, int(waves.i.max()) + 1))
        table[waves.j, waves.i] = coefficients
        wx, wy = np.zeros(table.shape[1]), np.zeros(table.shape[0])
        wx[waves.i], wy[waves.j] = waves.wx, waves.wy
        columns = np.cos((np.arange(width)[:, None] + 0.5 + waves.margin) * wx)
        rows = np.cos((np.arange(height)[:, None] + 0.5 + waves.margin) * wy)
        return np.asarray(rows @ table @ columns.T)


def smooth_basis(xy: FloatArray, width: int, height: int) -> SmoothBasis:
    """All cosines up to the highest wavenumber at places (M, 2) in pixels; the constant is left out."""
    margin = _MARGIN * max(width, height)
    side = np.array([width + 2 * margin, height + 2 * margin])
    step = max(width, height) / side  # half waves per longer side of the photo, of the first cosine on each axis
    i, j = np.mgrid[: int(_BANDS[-1] / step[0]) + 1, : int(_BANDS[-1] / step[1]) + 1].reshape(2, -1)
    wavenumber = np.hypot(i * step[0], j * step[1])
    keep = (wavenumber > 0) & (wavenumber < _BANDS[-1])
    wx, wy = np.pi * i[keep] / side[0], np.pi * j[keep] / side[1]
    x, y = (xy[:, :1] + margin) * wx, (xy[:, 1:] + margin) * wy
    cos_x, cos_y = np.cos(x), np.cos(y)
    return SmoothBasis(
        cos_x * cos_y,
        -wx * np.sin(x) * cos_y,
        -wy * cos_x * np.sin(y),
        np.digitize(wavenumber[keep], _BANDS) - 1,
        _Waves(margin, i[keep], j[keep], wx, wy),
    )


def correlation_area(vectors: FloatArray, index: IntArray, grid: tuple[int, int]) -> float:
    """Number of cells (at least 1) that err together: the integral of the autocorrelation of ``vectors`` (M, D).

    ``index`` (M,) are places, row-major, in ``grid`` (rows, columns). So many fewer independent observations there are.
    """
    rows, columns = grid
    field = np.zeros((rows * columns, vectors.shape[1] + 1))
    field[index, :-1], field[index, -1] = vectors, 1.0
    shape = (2 * rows, 2 * columns)  # padded with zeros: no wrapping round
    power = np.abs(np.fft.rfft2(field.reshape(rows, columns, -1), shape, axes=(0, 1))) ** 2
    products, pairs = np.fft.irfft2(power[..., :-1].sum(-1), shape), np.fft.irfft2(power[..., -1], shape)
    if products[0, 0] <= 0:
        return 1.0
    distance = np.hypot(np.fft.fftfreq(shape[0], 1 / shape[0])[:, None], np.fft.fftfreq(shape[1], 1 / shape[1]))
    ring = np.rint(distance).astype(int).ravel()
    in_ring = np.maximum(np.bincount(ring, pairs.ravel()), 1e-9)
    correlation = np.bincount(ring, products.ravel()) / in_ring * pairs[0, 0] / products[0, 0]
    ends = np.flatnonzero(correlation < 0.02)  # beyond the first zero there is only noise of the estimate
    stop = min(int(ends[0]) if len(ends) else len(correlation), max(columns, rows) // 2)
    return max(1.0, float((correlation * np.bincount(ring))[:stop].sum()))
