"""How many pixels an image may have, told from its header: a small file may hold any number of them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from lotus_recon.errors import InputError

# The limit below holds, so Pillow's own warning about large files would only repeat it.
Image.MAX_IMAGE_PIXELS = None

MIN_SIDE_PX = 16  # smaller images hold no feature and no latent cell
MAX_MEGAPIXELS = 80.0  # a 61-megapixel full-frame camera passes; 100 would need 4 GB in the SIFT of the first octave


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError unless the image has a usable size."""
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(f"{path} is {width}x{height} pixels; each side must have {MIN_SIDE_PX} or more")
    _refuse_large(path, width, height)


def _refuse_large(path: Path | str, width: int, height: int) -> None:
    megapixels = width * height / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise InputError(
            f"{path} has {megapixels:.0f} megapixels; at most {MAX_MEGAPIXELS:.0f} are allowed: reduce it first"
        )


def check_image_bytes(image: Path | bytes, where: str) -> None:
    """Raise InputError for an image file with more pixels than allowed, from its header; others may still be broken."""
    try:
        with Image.open(image if isinstance(image, Path) else io.BytesIO(image)) as opened:
            size = opened.size
    except (OSError, ValueError, SyntaxError):
        return  # what Pillow does not know, OpenCV may
    _refuse_large(where, *size)
