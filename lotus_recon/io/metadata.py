"""What cameras and their software write about the lens of a photo, read in one place: EXIF and XMP.

A value counts when a lens can be so. Which tags it comes from, and what speaks against it, is kept with it.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from PIL import ExifTags, Image

from lotus_recon.geometry.camera import is_resized

DIAGONAL_35MM = math.hypot(36.0, 24.0)  # millimetres; a 35 mm equivalent compares diagonals (CIPA DCG-001)
# As 35 mm equivalent, millimetres: from a rectilinear lens of 139 degrees along the diagonal, the widest there is for
# cameras, to a superzoom's 3000 mm.
SHORTEST_35MM, LONGEST_35MM = 8.0, 3000.0
_AGREE = 1.15  # factor between two statements of one focal length that rounding and digital zoom explain
# Millimetres per unit of FocalPlaneResolutionUnit (EXIF 2.32; 4 and 5 are in use though not in the standard).
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
# The numbers that count, under the names of EXIF, and the tags where other software writes them in XMP.
_NAMES = {
    "FocalLengthIn35mmFilm": ("FocalLengthIn35mmFilm", "FocalLength35mm"),
    "FocalLength": ("FocalLength", "PerspectiveFocalLength"),  # mm; the second of Pix4D's name space
    "CalibratedFocalLength": ("CalibratedFocalLength",),  # pixels; DJI
    "FocalPlaneXResolution": ("FocalPlaneXResolution",),
    "FocalPlaneYResolution": ("FocalPlaneYResolution",),
    "FocalPlaneResolutionUnit": ("FocalPlaneResolutionUnit",),
    "DigitalZoomRatio": ("DigitalZoomRatio",),
    "PixelXDimension": ("PixelXDimension",),
    "PixelYDimension": ("PixelYDimension",),
}
_EXIF_TAGS = {"PixelXDimension": ExifTags.Base.ExifImageWidth, "PixelYDimension": ExifTags.Base.ExifImageHeight}


@dataclass(frozen=True)
class Lens:
    """Focal length of a photo as it is, as 35 mm equivalent in millimetres, None where nothing tells it.

    ``source`` names the tags it comes from; ``doubts`` say what was ignored and why, or what speaks against it.
    """

    focal_35mm: float | None = None
    source: str = ""
    doubts: tuple[str, ...] = ()


def read_lens(image: Image.Image, stored_size: tuple[int, int]) -> Lens:
    """The lens of an opened photo (H, W), which is of (width, height) ``stored_size`` before any rotation."""
    xmp = _xmp(image)
    projection = _in_xmp(xmp, "ProjectionType")
    if projection:
        return Lens(doubts=(f"the photo is a panorama ({projection}), which no single camera sees",))
    tags = _Tags(image.getexif(), xmp)
    plausible, doubts = [], []
    for source, focal_35mm in _statements(tags, stored_size):
        if SHORTEST_35MM <= focal_35mm <= LONGEST_35MM:
            plausible.append((source, focal_35mm))
        else:
            doubts.append(
                f"{source} says {focal_35mm:.5g} mm as 35 mm equivalent: ignored, there is no such lens "
                f"({SHORTEST_35MM:g} to {LONGEST_35MM:g} mm)"
            )
    if not plausible:
        if not doubts and (focal_mm := tags.number("FocalLength")):
            doubts.append(f"FocalLength {focal_mm:g} mm is of no use without the size of the sensor")
        return Lens(doubts=tuple(doubts))
    (source, focal_35mm), *others = plausible
    doubts += [
        f"{source} says {focal_35mm:.4g} mm as 35 mm equivalent, {other} {value:.4g} mm"
        for other, value in others
        if max(value / focal_35mm, focal_35mm / value) > _AGREE
    ]
    factor, doubt = _change(tags.original_size(stored_size), stored_size)
    return Lens(focal_35mm * factor, source, (*doubts, *([doubt] if doubt else [])))


def _statements(tags: _Tags, stored_size: tuple[int, int]) -> Iterator[tuple[str, float]]:
    """Where a focal length is stated, the best source first, and it as 35 mm equivalent of the photo as taken."""
    diagonal_px = math.hypot(*tags.original_size(stored_size))
    if (focal_px := tags.number("CalibratedFocalLength")) is not None:
        yield "XMP (CalibratedFocalLength)", focal_px / diagonal_px * DIAGONAL_35MM
    if (focal_35mm := tags.number("FocalLengthIn35mmFilm")) is not None:
        yield f"{tags.place('FocalLengthIn35mmFilm')} (35 mm equivalent)", focal_35mm
    focal_mm, pixels_per_mm = tags.number("FocalLength"), tags.pixels_per_mm()
    if focal_mm is not None and pixels_per_mm is not None:
        zoom = max(1.0, tags.number("DigitalZoomRatio") or 1.0)
        focal_px = focal_mm * pixels_per_mm * zoom
        yield f"{tags.place('FocalLength')} (focal length and sensor)", focal_px / diagonal_px * DIAGONAL_35MM


def _change(taken: tuple[int, int], stored: tuple[int, int]) -> tuple[float, str]:
    """Factor on the 35 mm equivalent for what was done to a photo after it was taken, and the doubt that this leaves.

    Reducing and turning leave the angle that the diagonal spans; a crop keeps the focal length in pixels.
    """
    if any(is_resized(size, stored) for size in (taken, taken[::-1])):
        return 1.0, ""
    was = f"the photo has {stored[0]}x{stored[1]} pixels and was taken with {taken[0]}x{taken[1]}"
    if any(stored[0] <= width and stored[1] <= height for width, height in (taken, taken[::-1])):
        return math.hypot(*taken) / math.hypot(*stored), (
            f"{was}: taken for a crop that was not reduced; the optical axis may be off its middle"
        )
    return 1.0, f"{was}: the focal length may be of another photo"


@dataclass(frozen=True)
class _Tags:
    """EXIF first, then XMP."""

    exif: Image.Exif
    xmp: str

    def number(self, name: str) -> float | None:
        """A finite positive number under one of the names of ``name``, or None."""
        in_exif = _positive(self._detail().get(_EXIF_TAGS.get(name) or getattr(ExifTags.Base, name, None)))
        return in_exif if in_exif is not None else self._in_xmp(name)

    def place(self, name: str) -> str:
        """Where ``number`` found it."""
        tag = _EXIF_TAGS.get(name) or getattr(ExifTags.Base, name, None)
        return "EXIF" if _positive(self._detail().get(tag)) is not None else "XMP"

    def original_size(self, stored_size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the photo as taken, where it is known."""
        width, height = self.number("PixelXDimension"), self.number("PixelYDimension")
        return stored_size if width is None or height is None else (round(width), round(height))

    def pixels_per_mm(self) -> float | None:
        """On the sensor, of the photo as taken; None where it is not known or differs along x and y."""
        x, y = self.number("FocalPlaneXResolution"), self.number("FocalPlaneYResolution")
        unit = _UNIT_MM.get(int(self.number("FocalPlaneResolutionUnit") or 2))
        if x is None or unit is None or (y is not None and max(x / y, y / x) > _AGREE):
            return None
        return x / unit

    def _detail(self) -> dict[Any, Any]:
        return self.exif.get_ifd(ExifTags.IFD.Exif)

    def _in_xmp(self, name: str) -> float | None:
        return next((v for own in _NAMES[name] if (v := _positive(_in_xmp(self.xmp, own))) is not None), None)


def _positive(value: Any) -> float | None:
    """A finite positive number, also of a fraction as text ("24/1"); None for anything else."""
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        number = float(Fraction(value.strip()) if isinstance(value, str) else value)
        return number if 0 < number < math.inf else None
    return None


def _xmp(image: Image.Image) -> str:
    """The XMP packet of any container; empty where there is none."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not packet and hasattr(image, "tag_v2"):
        packet = image.tag_v2.get(ExifTags.Base.XMLPacket, b"")
    return packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)


def _in_xmp(xmp: str, name: str) -> str | None:
    """The value of a tag in any name space, written as attribute or as element."""
    match = re.search(rf"""[\w-]+:{name}(?:\s*=\s*["']([^"']*)["']|>([^<]*)<)""", xmp)
    return None if match is None else (match[1] if match[1] is not None else match[2]).strip() or None
