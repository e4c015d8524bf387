"""How much the photos of a data set differ from one another."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from lotus_recon.errors import InputError


@dataclass(frozen=True)
class Look:
    """How much photos differ. A value of 0 switches its effect off."""

    exposure_stops: float = 0.5  # standard deviation around the automatic exposure
    grey_world: float = 0.9  # largest share of the colour of the light that white balance removes
    white_balance: float = 0.05  # standard deviation of the logarithm of the gains of red and blue
    vignetting: float = 0.3  # largest loss of light in the corners
    blur_px: float = 0.7  # largest standard deviation
    read_noise: float = 0.008  # largest standard deviation in the dark, as a share of white
    shot_noise: float = 0.02  # largest standard deviation at white
    filmic: float = 0.5  # share of photos with a filmic tone curve instead of a plain sRGB one
    contrast: float = 0.15  # largest change of the slope at mid grey
    saturation: float = 0.3  # largest change
    sharpening: float = 0.6  # largest amount of the unsharp mask
    defocus: float = 0.3  # share of photos that are sharp at one distance only
    aperture: float = 0.004  # largest radius of the blur of what is at infinity, as a share of the width per 1/m
    motion: float = 0.15  # share of photos that a hand shook
    motion_px: float = 4.0  # largest length of that blur
    distortion_px: float = 0.8  # largest shift, in the corners, of what is left of the lens's distortion
    fringe_px: float = 0.6  # largest shift, in the corners, of red against blue

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if not 0 <= value < np.inf]
        if (
            wrong
            or max(self.grey_world, self.vignetting, self.filmic, self.defocus, self.motion) > 1
            or max(self.contrast, self.saturation) >= 1
        ):
            raise InputError(f"{self}: nothing may be negative, shares are at most 1, contrast and saturation below 1")


NEUTRAL = Look(*[0.0] * len(fields(Look)))
