"""How far the vertices of a mesh may be off: by the depth maps that they lie on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.geometry.points import in_view
from lotus_recon.io.scene_maps import SceneMaps, read_ahead
from lotus_recon.types import View

_SIGMAS = 3.0  # a map speaks for a vertex that lies so near to its depth, or within the truncation of fusion


def vertex_sigma(
    vertices: NDArray[np.float32], views: Sequence[View], depths: SceneMaps, sigmas: SceneMaps, truncation: float
) -> NDArray[np.float32]:
    """(V,) one standard deviation of the place of ``vertices`` (V, 3), in units of the scene; NaN where no map lies.

    Of the maps (``depths``, and their relative ``sigmas``) that lie near a vertex: the mean of sigma times depth,
    weighed by its inverse square. Views err together, so it does not shrink with their number: it is never less than
    that of the best of them. Raises InputError for files that cannot be read.
    """
    inverse, inverse_squares = np.zeros(len(vertices)), np.zeros(len(vertices))

    def maps_of(view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sigma = sigmas.load(view).sigma
        if sigma is None:
            raise InputError(f"{sigmas.path(view)} has no 'sigma'")
        depth = depths.load(view).depth_or_zero
        return depth, sigma * depth

    known = [view for view in views if depths.has(view) and sigmas.has(view)]
    for view, (depth, sigma) in zip(known, read_ahead(maps_of, known), strict=True):
        inside, at, z = in_view(vertices, view)
        own = sigma[at].astype(np.float64)
        near = (own > 0) & (np.abs(depth[at] - z) < np.maximum(_SIGMAS * own, truncation))
        inverse[inside[near]] += 1 / own[near]
        inverse_squares[inside[near]] += 1 / own[near] ** 2
    with np.errstate(invalid="ignore"):
        return (inverse / inverse_squares).astype(np.float32)
