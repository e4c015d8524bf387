"""Linear light of sRGB and back."""

from __future__ import annotations

import numpy as np
import pytest

from lotus_recon.io.srgb import linear_of_bytes, linear_of_srgb, srgb_of_linear


def test_every_byte_survives_a_round_trip() -> None:
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(np.round(255 * srgb_of_linear(linear_of_bytes(every))), every)


def test_known_values() -> None:
    assert linear_of_bytes(np.array([188], np.uint8))[0] == pytest.approx(0.5028865, rel=1e-5)
    assert linear_of_srgb(np.array([0, 0.02, 0.5, 1])) == pytest.approx([0, 0.02 / 12.92, 0.2140411, 1])
    assert srgb_of_linear(np.array([-1, 0.2140411, 7])) == pytest.approx([0, 0.5, 1])
