"""Smooth errors that differ from frame to frame go; what is there stays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lotus_recon.video.flow import COLUMNS, ROWS, SAMPLES
from lotus_recon.video.smoothing import Seen, fields, full_size
from lotus_recon.video.temporal import REACH

FRAMES = 20
TRUE = np.linspace(0.2, 1, SAMPLES)
X, Y = ((np.indices((ROWS, COLUMNS))[axis].ravel() + 0.5) / size for axis, size in ((1, COLUMNS), (0, ROWS)))


def still_video(values: NDArray[np.float64], cut: int = FRAMES) -> list[Seen]:
    """A camera at rest that reads ``values`` (FRAMES, SAMPLES) at the middles of the grid."""
    frames = []
    for second in range(FRAMES):
        samples = {}
        for distance in (k for k in REACH if k <= second):
            both = values[second - distance], values[second]
            samples[distance] = np.stack([*both, np.ones(SAMPLES), X, Y], 1).astype(np.float32)
        frames.append(Seen(int(second >= cut), 1.0, 0.0, 0.0, 0.2, samples))
    return frames


def waves() -> NDArray[np.float64]:
    """Smooth errors (FRAMES, SAMPLES) that know nothing of each other."""
    coarse = np.random.default_rng(0).normal(0, 0.05, (FRAMES, 5, 7))
    return np.stack([cv2.resize(each, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC).ravel() for each in coarse])


def test_what_differs_between_frames_goes() -> None:
    values = TRUE + waves()
    steady = values + np.stack([found.ravel() for found in fields(still_video(values))])
    flicker = [np.abs(np.diff(v, axis=0)).mean() for v in (values, steady)]
    assert flicker[1] < 0.3 * flicker[0]
    assert np.abs(steady - TRUE).mean() < 0.6 * np.abs(values - TRUE).mean()


def test_what_is_steady_stays() -> None:
    values = np.repeat(TRUE[None], FRAMES, 0)
    assert max(float(np.abs(found).max()) for found in fields(still_video(values))) < 1e-6


def test_another_thing_is_not_mixed_in() -> None:
    values = np.repeat(TRUE[None], FRAMES, 0)
    values[10] += 3.0  # 15 mean deviations: something passes by
    found = np.stack([each.ravel() for each in fields(still_video(values))])
    assert np.abs(found).max() < 0.1


def test_nothing_crosses_a_cut() -> None:
    values = np.repeat(TRUE[None], FRAMES, 0)
    values[12:] += 0.1
    assert np.abs(np.stack(list(fields(still_video(values, cut=12))))).max() < 1e-6
    assert np.abs(np.stack(list(fields(still_video(values))))).max() > 0.02


def test_a_field_is_that_of_its_cells() -> None:
    ramp = np.repeat(np.arange(COLUMNS, dtype=np.float32)[None], ROWS, 0)
    large = full_size(ramp, 10 * COLUMNS, 10 * ROWS)
    assert large.shape == (10 * ROWS, 10 * COLUMNS)
    np.testing.assert_allclose(large[50, 4::10][1:], np.arange(COLUMNS)[1:] - 0.05, atol=1e-4)
