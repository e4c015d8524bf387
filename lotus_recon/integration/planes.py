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

import numpy as np
from numpy.typing import NDArray

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
    if K is None:
        facing = np.minimum(normals[:, 2], -min_grazing_cos)
        ahead = -0.5 * normals[:, :2].T / facing  # (2, P) half a step
        behind, scale = -ahead, np.stack([facing, facing])
    else:
        inverse = np.linalg.inv(K)
        rays = np.stack([graph.cols + 0.5, graph.rows + 0.5, np.ones(len(graph))], axis=1) @ inverse.T
        length = np.linalg.norm(rays, axis=1)
        least = -min_grazing_cos * length
        facing = np.minimum((normals * rays).sum(1), least)  # (P,) n . r
        half = 0.5 * inverse[:, :2].T @ normals.T  # (2, P) change of n . r over half a pixel
        ahead = np.log(facing / np.minimum(facing + half, least))
        behind = np.log(facing / np.minimum(facing - half, least))
        scale = facing * np.array([[K[0, 0]], [K[1, 1]]])
    first, second = normals[graph.first], normals[graph.second]
    return Steps(
        step=graph.at_first(ahead) - graph.at_second(behind),
        ahead=ahead,
        behind=behind,
        slope_scale=scale,
        bend_deg=np.degrees(np.arccos(np.clip((first * second).sum(1), -1, 1))),
    )
