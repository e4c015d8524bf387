"""What a model rests on, judged after mapping; and which of several separate groups of photos is mapped."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from lotus_recon.colmap import pycolmap
from lotus_recon.errors import InputError
from lotus_recon.sfm.diagnosis import component_names, components, has_baseline
from lotus_recon.sfm.images import SfmImage
from lotus_recon.sfm.mapping import median_angle_deg
from lotus_recon.sfm.matching import MatchStatistics

_SMALL_ANGLE_DEG = 2.0
_FOCAL_CHANGE = 1.3  # factor on what EXIF or the user says: more is no tolerance of a lens
_FOCAL_LIMITS = (0.35, 5.0)  # longer edges: what a lens that nobody spoke of hardly exceeds


def doubts_of(model: pycolmap.Reconstruction, images: Sequence[SfmImage], statistics: MatchStatistics) -> list[str]:
    """What speaks against a finished model: small angles, pairs without parallax, focal lengths that ran away."""
    doubts = []
    angle = median_angle_deg(model)
    if angle < _SMALL_ANGLE_DEG:
        doubts.append(
            f"points are seen under {angle:.1f} degrees in the median: their depth is uncertain; move the camera more "
            "between photos"
        )
    if not has_baseline(statistics):
        doubts.append(
            f"one homography explains {statistics.flat_share:.0%} of the pairs: all that is seen lies in one plane, or "
            "the camera hardly moved; shape and focal length may be wrong"
        )
    by_camera = {image.camera_number: image for image in images}
    used = {model.image(i).camera_id for i in model.reg_image_ids()}
    focal_doubts = [_focal_doubt(model.camera(number), by_camera[number]) for number in sorted(used)]
    return [*doubts, *[doubt for doubt in focal_doubts if doubt]]


def _focal_doubt(camera: pycolmap.Camera, image: SfmImage) -> str:
    """Why the focal length of the camera of ``image`` is not believed; empty where it is."""
    focal, longer = camera.mean_focal_length(), max(camera.width, camera.height)
    prior = float(np.mean(image.prior.camera.focal_px))
    if image.prior.has_prior and max(focal / prior, prior / focal) > _FOCAL_CHANGE:
        return (
            f"the focal length of {image.name} became {focal / prior:.2f} times what its metadata or the options say: "
            "check it, or keep it with --intrinsics"
        )
    low, high = (limit * longer for limit in _FOCAL_LIMITS)
    if not image.prior.has_prior and not low < focal < high:
        return (
            f"the estimated focal length of {image.name} is {focal / longer:.2f} longer edges, which few lenses have: "
            "give --focal-px or --focal-35mm"
        )
    return ""


def component_images(images: Sequence[SfmImage], statistics: MatchStatistics, wanted: str | None) -> list[SfmImage]:
    """The images to map: all, or those connected by matches to the photos whose names the pattern ``wanted`` fits.

    Raises InputError when these are in several groups, or match no other photo.
    """
    if wanted is None:
        return list(images)
    names = [image.name for image in images]
    asked = {index for index, name in enumerate(names) if fits(name, wanted)}
    groups = [group for group in statistics.groups() if asked.intersection(group) and len(group) > 1]
    if len(groups) == 1:
        return [images[index] for index in groups[0]]
    what = "are of several groups" if groups else "match no other photo"
    raise InputError(
        f"--component {wanted!r}: the photos of that name {what}; there are: "
        f"{component_names(components(names, statistics)) or 'no photos that match'}"
    )


def fits(name: str, pattern: str) -> bool:
    """Whether the name of a photo is ``pattern`` or fits it."""
    return name == pattern or fnmatchcase(name, pattern)
