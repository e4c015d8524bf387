"""Focal length and offset of a map of unknown scale and shift, such that its unprojected normals are the given ones.

A point X = z (x - cx, y - cy, f) / f of the plane n . X = d has 1 / z = (n_x (x - cx) + n_y (y - cy) + n_z f) / (f d).
So where a map v is affine in 1 / z, with v = b infinitely far, its slope g and value at a pixel p (from the principal
point) give the normal up to length:

    N = (f g_x, f g_y, v - b - g . p),

linear in f and b. For v affine in z the same holds with g = -(slope of v): the normal of z(x, y) is
(-f z_x, -f z_y, z + grad z . p). N must be parallel to the given normal. The estimate is the posterior mode of f, b,
the principal point and the smooth error of the map, with residuals of Student's t and estimated amplitudes of error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.slope_cells import SlopeCells, neighbour_variance, neighbours
from lotus_recon.calibration.smooth_error import SmoothBasis, correlation_area, smooth_basis
from lotus_recon.geometry.normals import normalized
from lotus_recon.types import BoolArray, FloatArray

LOG_FOCAL, LOG_OFFSET, CENTER_X, CENTER_Y, HEAD = 0, 1, 2, 3, 4  # places in the vector of unknowns; then the cosines

# Prior standard deviations: the default is wrong by about 15 degrees; far over near lies between 1.8 and 22 for the
# default of 5 (90 %); lenses and crops move the principal point by about 1 % of the width.
PRIOR_SIGMA = (0.4, 1.0, 0.012, 0.012)
_START_FOV_DEG = (30.0, 40.0, 47.0, 55.0, 63.0, 75.0, 90.0)
_START_LOG_OFFSET = (-3.5, -2.5, -1.8, -1.4, -0.8, 0.0)
_START_ERROR_RAD = np.radians(5.0)
_LEAST_ERROR_RAD = np.radians(0.3)  # of the normal of a cell, before the common factor
_SLOPE_TRUST = 4.0  # variance of a slope over what the fit inside its cell says: steps and creases are systematic
_FREEDOM = 6.0  # of Student's t
# Information per observation of a bivariate Student's t, (v + 2) / (v + 4), relative to a normal distribution.
_INFORMATION = (_FREEDOM + 2) / (_FREEDOM + 4)
_MEDIAN_CHI2 = 2 * np.log(2)  # two degrees of freedom
_LEAST_FACTOR = 1e-6
_WHITE_STEPS, _STEPS = 12, 30
_LARGEST_STEP = (0.3, 0.7)  # of log focal length and log offset
_CONVERGED = 1e-4


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known before: means (4,) of the head of the unknowns, and which of them are free (4,)."""

    mean: NDArray[np.float64]
    free: BoolArray


@dataclass(frozen=True, eq=False)
class NormalsFit:
    """The estimate (4,) of log focal length (px), log offset (of the range), principal point, and its covariance."""

    head: NDArray[np.float64]
    covariance: NDArray[np.float64]  # (4, 4); zero for what was not free
    angle_deg: float  # median angle between the given normals of cells and those of the map
    smooth_error: NDArray[np.float64]  # (H, W) of the map, of its range
    correlated_cells: float  # number of cells that err together
    away: float  # share of cells whose normal looks away from the camera


class _Model:
    """Residuals and derivatives at the cells. Values and slopes are in units of the range, from the low percentile."""

    def __init__(self, cells: SlopeCells, sign: float, aspect: float) -> None:
        self.cells, self.sign, self.aspect = cells, sign, aspect
        self.basis: SmoothBasis = smooth_basis(cells.xy, cells.width, cells.height)
        self.pairs = neighbours(cells)
        self.tangents = _tangents(cells.normal)  # M 2 3
        self.middle = np.array([cells.width, cells.height]) / 2

    def normal(self, x: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """N (M, 3), slopes of the map without its smooth error (M, 2), and pixels from the principal point (M, 2)."""
        basis, rest, f = self.basis, x[HEAD:], np.exp(x[LOG_FOCAL])
        slope = self.sign * (self.cells.slope - basis.slopes(rest))
        above = self.cells.value - basis.value @ rest + np.exp(x[LOG_OFFSET])
        pixel = self.cells.xy - self.middle - x[CENTER_X:HEAD] * self.cells.width
        N = np.stack([f * slope[:, 0], f * self.aspect * slope[:, 1], above - (slope * pixel).sum(-1)], axis=-1)
        return N, slope, pixel

    def residual(self, x: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64], BoolArray]:
        """Sines of the angles (M, 2) in the tangent plane, length of N (M,), and where N is opposed (M,).

        N of a surface that faces the camera is positive along z for one that is met head on: it points along -n.
        """
        N, _, _ = self.normal(x)
        length = np.maximum(np.linalg.norm(N, axis=-1), 1e-12)
        return (
            np.einsum("mij,mj->mi", self.tangents, N / length[:, None]),
            length,
            (N * self.cells.normal).sum(-1) > 0,
        )

    def jacobian(self, x: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Derivatives of the residual (M, 2, unknowns), and of the log length of N by the head (M, 4)."""
        N, slope, pixel = self.normal(x)
        basis, f, width = self.basis, np.exp(x[LOG_FOCAL]), self.cells.width
        dN = np.zeros((len(N), 3, HEAD + basis.size))
        dN[:, :2, LOG_FOCAL] = N[:, :2]
        dN[:, 2, LOG_OFFSET] = np.exp(x[LOG_OFFSET])
        dN[:, 2, CENTER_X:HEAD] = slope * width
        slope_x, slope_y = self.sign * basis.slope_x, self.sign * basis.slope_y
        dN[:, 0, HEAD:], dN[:, 1, HEAD:] = -f * slope_x, -f * self.aspect * slope_y
        dN[:, 2, HEAD:] = slope_x * pixel[:, :1] + slope_y * pixel[:, 1:] - basis.value
        length = np.maximum(np.linalg.norm(N, axis=-1), 1e-12)[:, None]
        direction = N / length
        along = np.einsum("mij,mj->mi", self.tangents, direction)
        projector = (self.tangents - along[:, :, None] * direction[:, None]) / length[:, None]
        return np.matmul(projector, dN), np.einsum("mj,mjk->mk", direction / length, dN[:, :, :HEAD])

    def variances(self, x: FloatArray, length: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(M,) variance of a residual up to a common factor, and the share in it of random errors of the slopes."""
        slope = self.cells.slope - self.basis.slopes(x[HEAD:])
        as_angle = (np.exp(x[LOG_FOCAL]) / length) ** 2
        normals = self.cells.normal_variance
        # Normals that err together inside a cell scatter more between cells than inside.
        normals = normals + max(neighbour_variance(self.pairs, self.cells.normal) - float(np.median(normals)), 0.0)
        random = neighbour_variance(self.pairs, slope) * as_angle
        own = _SLOPE_TRUST * self.cells.slope_variance * as_angle
        total = _LEAST_ERROR_RAD**2 + normals + own + random
        return total, random / total


def _tangents(normals: FloatArray) -> NDArray[np.float64]:
    """(M, 2, 3) two unit vectors across each normal (M, 3)."""
    axis = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = normalized(np.cross(normals, axis))
    return np.stack([first, np.cross(normals, first)], axis=1)


def fit_normals(cells: SlopeCells, sign: float, aspect: float, prior: Prior) -> NormalsFit:
    """Estimate what is free. ``sign`` is +1 for values affine in 1 / depth, -1 in depth; ``aspect`` is fy / fx.

    First all cells count as independent, which lets the smooth error be found; then what is left is weighted by how
    many cells err together, so that maps that fit badly tell little and say so.
    """
    model = _Model(cells, sign, aspect)
    free = np.concatenate([prior.free, np.ones(model.basis.size, bool)])
    mean = np.concatenate([prior.mean, np.zeros(model.basis.size)])
    x, spectrum, shared = _start(model, prior), model.basis.first_variance(), 1.0
    for step_number in range(_STEPS):
        residual, length, opposed = model.residual(x)
        expected, slope_share = model.variances(x, length)
        weights = _weights(residual, expected, opposed)
        if step_number >= _WHITE_STEPS:
            whitened = np.einsum("mi,mij->mj", residual * np.sqrt(weights)[:, None], model.tangents)
            shared = correlation_area(whitened, cells.index, cells.grid)
        variance = np.concatenate([np.square(PRIOR_SIGMA), spectrum[model.basis.band]])
        weights = weights * _INFORMATION / shared
        step, covariance = _step(model, x, residual, weights, slope_share, (mean, variance, free))
        x = x + step
        spectrum = model.basis.updated_variance(x[HEAD:], np.diag(covariance)[HEAD:])
        if step_number > _WHITE_STEPS + 2 and np.abs(step[:HEAD]).max() < _CONVERGED:
            break
    residual, _, opposed = model.residual(x)
    angle = np.degrees(np.arcsin(np.clip(np.linalg.norm(residual, axis=-1), 0, 1)))
    angle = np.where(opposed, 180 - angle, angle)
    smooth = model.basis.image(x[HEAD:], cells.width, cells.height)
    head = covariance[:HEAD, :HEAD]
    return NormalsFit(x[:HEAD], head, float(np.median(angle)), smooth, shared, float(opposed.mean()))


def _start(model: _Model, prior: Prior) -> NDArray[np.float64]:
    """The best of a grid of focal lengths and offsets; what is not free stays."""
    width, best, lowest = model.cells.width, None, np.inf
    focals: Sequence[float] = [float(np.log(0.5 * width / np.tan(np.radians(fov) / 2))) for fov in _START_FOV_DEG]
    offsets: Sequence[float] = _START_LOG_OFFSET
    for focal in focals if prior.free[LOG_FOCAL] else [prior.mean[LOG_FOCAL]]:
        for offset in offsets if prior.free[LOG_OFFSET] else [prior.mean[LOG_OFFSET]]:
            x = np.concatenate([[focal, offset], prior.mean[CENTER_X:], np.zeros(model.basis.size)])
            residual, length, opposed = model.residual(x)
            expected = model.cells.slope_variance * (np.exp(focal) / length) ** 2 + _START_ERROR_RAD**2
            cost = float(np.log1p((residual**2).sum(-1) / expected + 4 * opposed).sum())
            if cost < lowest:
                best, lowest = x, cost
    assert best is not None  # the grid has points, and costs are finite
    return best


def _weights(residual: FloatArray, expected: FloatArray, opposed: BoolArray) -> NDArray[np.float64]:
    """(M,) inverse variances with the weights of Student's t; the common factor of the variances is estimated."""
    squared = (residual**2).sum(-1) / expected
    factor = max(float(np.median(squared)) / _MEDIAN_CHI2, _LEAST_FACTOR)
    return np.where(opposed, 0.0, (_FREEDOM + 2) / (_FREEDOM + squared / factor) / (expected * factor))


def _step(
    model: _Model,
    x: FloatArray,
    residual: FloatArray,
    weights: FloatArray,
    slope_share: FloatArray,
    prior: tuple[FloatArray, FloatArray, BoolArray],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A bounded Gauss-Newton step of the posterior (unknowns,), and its covariance, zero for what is not free.

    The slopes are in the derivatives too, with their errors: plain least squares would take the focal length for too
    short. As in total least squares, the variance of a residual counts as a function of the unknowns; ``slope_share``
    (M,) is the share of the slopes in it, which goes with the square of f / |N|.
    """
    mean, variance, free = prior
    derivative, log_length = model.jacobian(x)
    root = np.sqrt(weights)
    rows = (derivative if free.all() else derivative[:, :, free]) * root[:, None, None]
    rows = rows.reshape(2 * len(weights), -1)
    information = rows.T @ rows + np.diag(1 / variance[free])  # of one array with itself: half the work
    log_angle = -log_length
    log_angle[:, LOG_FOCAL] += 1
    correction = np.zeros(len(x))
    correction[:HEAD] = -(weights * (residual**2).sum(-1) * slope_share) @ log_angle
    gradient = rows.T @ (root[:, None] * residual).ravel() + (correction + (x - mean) / variance)[free]
    inverse = np.linalg.inv(information)
    step, covariance = np.zeros(len(x)), np.zeros((len(x), len(x)))
    step[free] = -inverse @ gradient
    covariance[np.ix_(free, free)] = inverse
    longest = np.abs(step[:2]) / _LARGEST_STEP
    return step / max(float(longest.max()), 1.0), covariance
