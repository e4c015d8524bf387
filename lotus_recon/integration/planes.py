"""What the normals say about the depth of neighbouring pixels.

The surface is taken for a plane from every pixel to half way to its neighbours, where the two planes meet. That is
exact for planes and of second order for all that is smooth; one-sided differences of the depth are of first order.
(Local planes that tie normals to rays are also the model of Milano et al., "Discontinuity-aware normal integration for
generic central camera models", ICCV 2025.)

Perspective: the plane n . X = c cuts the ray r at z = c / (n . r), so between two rays of one plane log z changes by
log (n . r_1) - log (n . r_2): the unknown is w = log z, and every step of w is known. Orthographic: z itself is the
unknown, with slope -n_x / n_z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.compiled import kernel
from lotus_recon.integration.blocks import in_blocks
from lotus_recon.integration.pixels import PixelGraph
from lotus_recon.types import FloatArray


@dataclass(frozen=True, eq=False)
class Steps:
    """The step of the unknown along every edge, and what turns a step into the unit of the normals."""

    step: NDArray[np.float64]  # (E,) unknown at the second pixel less that at the first
    ahead: NDArray[np.float64]  # (2, P) half way to the pixel to the right and the one below, less that at the pixel
    behind: NDArray[np.float64]  # (2, P) half way to the pixel to the left and the one above
    slope_scale: NDArray[np.float64]  # (2, P) for x and y: n . r times the focal length in pixels; n_z if orthographic
    bend_deg: NDArray[np.float64]  # (E,) angle between the two normals


def steps_between(graph: PixelGraph, normals: FloatArray, K: FloatArray | None, min_grazing_cos: float) -> Steps:
    """Steps from unit normals (P, 3) that face the camera; K (3, 3), or None for orthographic."""
    ahead, behind, scale = np.empty((3, 2, len(graph)))
    if K is None:
        in_blocks(_orthographic, len(graph), normals, min_grazing_cos, ahead, behind, scale)
    else:
        focal, rays_from_pixels = (float(K[0, 0]), float(K[1, 1])), np.linalg.inv(K)
        pixels = graph.rows, graph.cols, normals, rays_from_pixels
        in_blocks(_perspective, len(graph), *pixels, focal, min_grazing_cos, ahead, behind, scale)
    step, bend_deg = np.empty((2, len(graph.first)))
    edges = graph.first, graph.second, graph.horizontal
    in_blocks(_along_edges, len(graph.first), *edges, normals, ahead, behind, step, bend_deg)
    return Steps(step, ahead, behind, scale, bend_deg)


@kernel
def _orthographic(begin: int, end: int, normals: Any, least_cos: float, ahead: Any, behind: Any, scale: Any) -> None:
    for p in range(begin, end):
        facing = min(normals[p, 2], -least_cos)
        for axis in range(2):
            ahead[axis, p] = -0.5 * normals[p, axis] / facing
            behind[axis, p], scale[axis, p] = -ahead[axis, p], facing


@kernel
def _perspective(
    begin: int,
    end: int,
    rows: Any,
    cols: Any,
    normals: Any,
    rays_from_pixels: Any,
    focal: Any,
    least_cos: float,
    ahead: Any,
    behind: Any,
    scale: Any,
) -> None:
    a = rays_from_pixels
    for p in range(begin, end):
        u, v = cols[p] + 0.5, rows[p] + 0.5
        right, down = a[0, 0] * u + a[0, 1] * v + a[0, 2], a[1, 0] * u + a[1, 1] * v + a[1, 2]
        least = -least_cos * np.sqrt(right * right + down * down + 1)
        facing = min(normals[p, 0] * right + normals[p, 1] * down + normals[p, 2], least)  # n . r
        for axis in range(2):
            half = 0.5 * (a[0, axis] * normals[p, 0] + a[1, axis] * normals[p, 1])  # change of n . r over half a pixel
            ahead[axis, p] = np.log(facing / min(facing + half, least))
            behind[axis, p] = np.log(facing / min(facing - half, least))
            scale[axis, p] = facing * focal[axis]


@kernel
def _along_edges(
    begin: int,
    end: int,
    first: Any,
    second: Any,
    horizontal: int,
    normals: Any,
    ahead: Any,
    behind: Any,
    step: Any,
    bend_deg: Any,
) -> None:
    for e in range(begin, end):
        i, j, axis = first[e], second[e], int(e >= horizontal)
        step[e] = ahead[axis, i] - behind[axis, j]
        cosine = normals[i, 0] * normals[j, 0] + normals[i, 1] * normals[j, 1] + normals[i, 2] * normals[j, 2]
        bend_deg[e] = np.degrees(np.arccos(min(max(cosine, -1.0), 1.0)))
