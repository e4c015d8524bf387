"""Photos developed from radiance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.synthetic.rooms.look import NEUTRAL, Look
from lotus_recon.synthetic.rooms.sensor import develop


def ramp() -> NDArray[np.float64]:
    return np.repeat(np.repeat(np.linspace(0, 1.5, 64)[None, :, None], 48, axis=0), 3, axis=2)


@pytest.mark.parametrize("seed", range(8))
def test_more_light_is_never_darker(seed: int) -> None:
    tones = Look(vignetting=0, blur_px=0, read_noise=0, shot_noise=0, sharpening=0)
    photo = develop(ramp(), seed, tones).astype(int)
    assert (np.diff(photo, axis=1) >= 0).all()
    assert photo.max() - photo.min() > 100


def test_a_seed_gives_one_photo_and_another_seed_another() -> None:
    assert np.array_equal(develop(ramp(), 5), develop(ramp(), 5))
    assert not np.array_equal(develop(ramp(), 5), develop(ramp(), 6))


def test_exposure_makes_up_for_the_strength_of_the_light() -> None:
    assert np.abs(develop(100 * ramp(), 0, NEUTRAL).astype(int) - develop(ramp(), 0, NEUTRAL)).max() <= 1


def test_a_small_bright_window_leaves_the_room_visible() -> None:
    room = np.full((48, 64, 3), 0.2)
    room[:12, :16] = 50.0
    photo = develop(room, 0, NEUTRAL)
    assert photo[:12, :16].min() == 255
    assert 60 < photo[40, 40, 0] < 160


def test_white_balance_takes_away_the_colour_of_the_light() -> None:
    warm = np.full((48, 64, 3), 0.2) * [1.5, 1.0, 0.5]
    spread = [np.ptp(develop(warm, seed, Look(white_balance=0)).mean((0, 1))) for seed in range(30)]
    assert min(spread) < 0.5 * np.ptp(develop(warm, 0, NEUTRAL).mean((0, 1)))


def test_noise_and_vignetting_have_the_sizes_asked_for() -> None:
    flat = np.full((96, 128, 3), 0.2)
    plain = develop(flat, 0, NEUTRAL)
    assert np.ptp(plain) == 0
    noisy = develop(flat, 0, replace(NEUTRAL, read_noise=0.02)).astype(float)
    assert 0 < noisy.std() < 12
    shaded = develop(flat, 3, replace(NEUTRAL, vignetting=0.3))[..., 0].astype(int)
    assert shaded[0, 0] < shaded[48, 64]
    assert np.array_equal(shaded, shaded[::-1, ::-1])


def test_black_stays_black_and_bad_radiance_is_refused() -> None:
    assert develop(np.zeros((48, 64, 3)), 0, NEUTRAL).max() == 0
    with pytest.raises(InputError, match="finite"):
        develop(np.full((48, 64, 3), np.nan), 0)
    with pytest.raises(InputError, match="shape"):
        develop(np.zeros((48, 64)), 0)
    with pytest.raises(InputError, match="negative"):
        Look(blur_px=-1)
