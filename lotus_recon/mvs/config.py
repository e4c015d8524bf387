"""Options of the dense search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchConfig:
    """How the depth of a view is searched by comparing photos (PatchMatch multi-view stereo)."""

    # scales, each half the size of the one before; the search starts at the smallest
    scales: int = 3
    # rounds of propagation and perturbation at the smallest scale, at those between, and at full size
    rounds: tuple[int, int, int] = (5, 2, 1)
    # the same in later passes, which start from the pass before; 0: the scale is left out
    later_rounds: tuple[int, int, int] = (0, 1, 1)
    # of the sources of a view, those that count at a pixel: others may not see it
    best_sources: int = 4
    # angle in degrees between viewing rays from which a source counts fully
    min_parallax_deg: float = 3.0
    # radius of a window in pixels
    window_radius: int = 4
    # 1: all pixels of a window are compared, 2: every second, as on a chessboard
    window_stride: int = 2
    # difference in grey value (0 to 1) from the centre at which a pixel of a window counts a quarter
    window_contrast: float = 0.15
    # depth range beyond that of the sparse points, as a factor
    depth_margin: float = 1.3
    # weight of the agreement with the sources' depth from the second pass on, beside that of their photos
    geometric_weight: float = 0.4
    # difference in pixels at which that agreement is lost
    geometric_px: float = 2.0
