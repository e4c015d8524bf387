"""Depth for the pixels that photos do not decide: from their confident neighbours, and the shape that a network saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from lotus_recon.geometry.camera import rays_in_cam
from lotus_recon.integration.laplacian import gradient, minimise
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.types import BoolArray, Camera, FloatArray

_FIXED = 1e3  # weight of a certain pixel beside the steps to its neighbours
_UNKNOWN_SLOPE = 0.05  # weight of a step that neither normals nor a shape describe
_GRAZING = 0.1  # cosine between normal and ray below which a normal says nothing of the slope
# Error of a step, in log depth, at which it counts half in the next round. Of 0.002 to 0.05 this filled in best in
# three rooms and on the rendered facade; the sample agreed.
_TORN = 0.005
_ROUNDS = 3
_TOLERANCE, _ITERATIONS = 1e-3, 100  # of the solver
_FOUR = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)  # neighbours of a pixel


@dataclass(frozen=True, eq=False)
class Completed:
    """(H, W) z-depth, 0 where unknown, and which of it was filled in."""

    depth: NDArray[np.float32]
    filled: BoolArray


@dataclass(frozen=True, eq=False)
class _Steps:
    """(H, W) log depth that the next pixel to the right, or below, has more, and how much that counts."""

    right: NDArray[np.float64]
    below: NDArray[np.float64]
    weight_right: NDArray[np.float64]
    weight_below: NDArray[np.float64]


def complete(
    depth: FloatArray,
    certain: BoolArray,
    camera: Camera,
    normals: FloatArray | None = None,
    shape: FloatArray | None = None,
    allowed: BoolArray | None = None,
    pull: float = 1e-4,
) -> Completed:
    """Fill the ``allowed`` pixels (default: all) of a depth map (H, W) that are not ``certain``; certain depth stays.

    Screened Poisson equation in log depth u: the sum of weight (u_q - u_p - step)^2 over neighbours is least, with the
    steps of the ``normals`` (H, W, 3; zero where unknown) where there are some, else of the ``shape`` (H, W, depth of
    any network, 0 where unknown), else 0; certain pixels are fixed, and others pulled to the shape by ``pull`` beside a
    weight of 1 per step. Where a step is off by far after a round it counts less in the next: surfaces may tear.

    What touches no certain pixel and has no shape stays unknown.
    """
    certain = certain & np.isfinite(depth) & (depth > 0)
    open_ = ~certain if allowed is None else allowed & ~certain
    known_shape = np.zeros_like(certain) if shape is None else np.isfinite(shape) & (shape > 0)
    open_ &= _reachable(open_, certain | known_shape)
    if not open_.any():
        return Completed(np.where(certain, depth, 0).astype(np.float32), open_)
    log_shape = np.log(np.where(known_shape, shape, 1)) if shape is not None else np.zeros(depth.shape)
    graph = PixelGraph.of(open_ | (certain & binary_dilation(open_, _FOUR)))
    at = graph.rows, graph.cols
    log_depth = np.log(np.where(certain, depth, 1))
    data_weight = np.where(certain, _FIXED, np.where(known_shape, pull, 0))[at]
    data = np.where(certain, log_depth, log_shape)[at]
    steps = _steps(camera, normals, log_shape, known_shape)
    solved = _solved(graph, steps, data, data_weight)
    result = np.where(certain, depth, 0).astype(np.float64)
    result[open_] = np.exp(graph.image(solved, 0.0)[open_])
    return Completed(result.astype(np.float32), open_)


def _reachable(open_: BoolArray, source: BoolArray) -> BoolArray:
    """Open pixels whose connected piece holds or touches a source."""
    pieces, count = label(open_, _FOUR)
    touched = np.zeros(count + 1, bool)
    touched[np.unique(pieces[binary_dilation(source, _FOUR)])] = True
    touched[0] = False
    return touched[pieces]


def _steps(camera: Camera, normals: FloatArray | None, log_shape: FloatArray, known_shape: BoolArray) -> _Steps:
    """The steps that normals describe, or else the shape, or else none."""
    H, W = log_shape.shape
    slope, told = np.zeros((2, H, W)), np.zeros((H, W), bool)
    if normals is not None:
        normals = np.asarray(normals, np.float64)
        toward = (normals * rays_in_cam(camera)).sum(-1)
        told = toward < -_GRAZING
        toward = np.where(told, toward, -1.0)
        # On a plane z (n . r) is constant along rays r, so d log z / dx = -n_x / (fx n . r).
        slope = np.stack([-normals[..., 0] / (camera.fx * toward), -normals[..., 1] / (camera.fy * toward)]) * told
    parts = []
    for axis, values in ((1, slope[0]), (0, slope[1])):
        a, b = _neighbours(told, axis)
        s, t = _neighbours(known_shape, axis)
        low, high = _neighbours(values, axis)
        first, second = _neighbours(log_shape, axis)
        both, shaped = a & b, s & t
        step = np.where(both, (low + high) / 2, np.where(shaped, second - first, 0))
        parts.append((step, np.where(both | shaped, 1.0, _UNKNOWN_SLOPE)))
    return _Steps(parts[0][0], parts[1][0], parts[0][1], parts[1][1])


def _neighbours(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:
    """Every value but the last along an axis, and the one behind each."""
    length = values.shape[axis]
    return np.take(values, range(length - 1), axis), np.take(values, range(1, length), axis)


def _solved(
    graph: PixelGraph, steps: _Steps, data: NDArray[np.float64], data_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(P,) log depth."""
    h = graph.horizontal
    row, col = graph.rows[graph.first], graph.cols[graph.first]
    wanted = np.concatenate([steps.right[row[:h], col[:h]], steps.below[row[h:], col[h:]]])
    base = np.concatenate([steps.weight_right[row[:h], col[:h]], steps.weight_below[row[h:], col[h:]]])
    u = np.where(data_weight > 0, data, np.average(data, weights=data_weight))
    weight = base
    for _ in range(_ROUNDS):
        right = gradient(graph, weight, wanted - (u[graph.second] - u[graph.first]), data_weight, data - u)
        tolerance = _TOLERANCE * max(float(np.linalg.norm(right)), 1e-12)
        u = u + minimise(graph, weight, data_weight, right, tolerance, _ITERATIONS).values
        error = (u[graph.second] - u[graph.first] - wanted) / _TORN
        weight = base / (1 + error**2)
    return u
