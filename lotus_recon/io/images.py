"""The only reader of photos: every stage gets the same upright 8-bit RGB, whatever the file format.

EXIF rotation is applied here, once. 16-bit images are scaled to 8 bits (12 bits in a 16-bit file by what they fill of
it), grey becomes RGB, alpha is composited over white.
"""

from __future__ import annotations

import functools
import glob
import logging
import mimetypes
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from lotus_recon.errors import InputError
from lotus_recon.io.image_sizes import check_image_bytes, check_size
from lotus_recon.io.metadata import read_lens
from lotus_recon.types import BoolArray
from lotus_recon.workspace import OWNERS_FILE, write_atomically

log = logging.getLogger(__name__)

pillow_heif.register_heif_opener()

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif"})
MASKS_FOLDER = "masks"  # in a folder of photos; holds their masks, not photos
# Folders that no person made: thumbnails and bins of network drives, and what macOS adds to archives. Any case.
_NOT_OF_PHOTOS = frozenset({"@eadir", "#recycle", "@recycle", "#snapshot", "$recycle.bin", "__macosx", "lost+found"})


# What Pillow and its plug-ins raise for files that are broken; MemoryError: of sizes that are wrong.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, MemoryError, RuntimeError, struct.error)
_SENSOR_BITS = (10, 12, 14)  # fewer than 16 that cameras put into 16-bit files
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


@dataclass(frozen=True)
class Photo:
    """A photo file and its name: the path relative to the image root, with suffix, '/' separated."""

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """The name without suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))

    @property
    def root(self) -> Path:
        """The folder that the name is relative to."""
        return self.path.absolute().parents[len(PurePosixPath(self.name).parts) - 1]


@dataclass(frozen=True)
class PhotoInfo:
    """Size and metadata of an upright photo, read without decoding its pixels."""

    width: int
    height: int
    focal_35mm: float | None  # as 35 mm equivalent in millimetres, where the metadata tell it
    camera_model: str | None
    orientation: int = 1  # EXIF's, 1 to 8: how the stored pixels are turned or mirrored to be upright
    focal_source: str = "EXIF (35 mm equivalent)"  # the tags that tell the focal length
    doubts: tuple[str, ...] = ()  # what was ignored in the metadata of the lens, or speaks against the focal length

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) upright."""
        return self.width, self.height

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) before EXIF's rotation."""
        return (self.height, self.width) if self.orientation in _QUARTER_TURNS else self.size


Choice = Callable[[Sequence[Photo]], Sequence[Photo]]  # of some photos from all that were found


def list_photos(root: Path, exclude: Iterable[Path] = (), choose: Choice = list) -> list[Photo]:
    """All photos below folder ``root`` that ``choose`` keeps, sorted by name, without hidden files and without the
    folders ``exclude``.

    Raises InputError when the folder is missing or has no photos, or when two photos differ only in suffix.
    """
    if not root.is_dir():
        raise InputError(f"image folder {root} does not exist" if not root.exists() else f"{root} is not a folder")
    excluded = [folder.resolve() for folder in exclude]
    photos = [p for p in _sorted_photos(root) if not any(folder in p.path.resolve().parents for folder in excluded)]
    if not photos:
        raise InputError(f"no photos in {root}; allowed suffixes: {', '.join(sorted(SUFFIXES))} (any case)")
    photos = list(choose(photos))
    check_unique_stems(photos)
    return photos


def _sorted_photos(root: Path) -> list[Photo]:
    return sorted(photos_below(root), key=lambda photo: photo.path)


def photos_below(root: Path) -> Iterator[Photo]:
    """Photos in a folder and its sub-folders, links to folders too, but for those that hold no photos of a person's.

    Left out are hidden files and folders, outputs of this program, ``masks`` on top, thumbnails and bins of network
    drives. Photos are yielded during the walk, so that a check for any photo need not wait for all.
    """
    entered: set[Path] = set()  # links may lead back, or to one folder twice
    others: list[Path] = []  # pictures of kinds that are not read
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if OWNERS_FILE in files or here.resolve() in entered:
            folders.clear()
            continue
        entered.add(here.resolve())
        folders[:] = sorted(name for name in folders if _holds_photos(name, here == root))
        for path in (here / name for name in files if not name.startswith(".")):
            if _is_photo(path) and path.is_file():
                yield Photo(path, path.relative_to(root).as_posix())
            elif (mimetypes.guess_type(path.name)[0] or "").startswith("image/") and not _is_photo(path):
                others.append(path)
    if others:
        also = f" and {len(others) - 1} more are" if len(others) > 1 else " is"
        log.warning("%s%s left out: photos end in %s", others[0], also, ", ".join(sorted(SUFFIXES)))


def _holds_photos(folder: str, on_top: bool) -> bool:
    """Whether a folder of this name may hold photos."""
    if folder.lower() in _NOT_OF_PHOTOS:
        log.info("folder %s holds thumbnails or deleted files: left out", folder)
        return False
    return not folder.startswith(".") and not (on_top and folder == MASKS_FOLDER)


def expand_photos(arguments: Sequence[str]) -> list[Photo]:
    """Photos named by files, folders and glob patterns.

    Names are relative to the folder, to the part of the pattern without wildcards, or, for files, to their own folder;
    files of one name in several folders are named from the folder that holds them all. Raises InputError when an
    argument matches no photo or two photos would write the same output.
    """
    files = list(dict.fromkeys(Path(argument) for argument in arguments if Path(argument).is_file()))
    photos = _named_files(files)
    for argument in arguments:
        if Path(argument).is_dir():
            photos += list_photos(Path(argument))
        elif not Path(argument).is_file():
            photos += _matching(argument)
    unique = list(dict.fromkeys(photos))
    check_unique_stems(unique)
    return unique


def _named_files(files: Sequence[Path]) -> list[Photo]:
    for path in files:
        if not _is_photo(path):
            raise InputError(f"{path} is not a photo; allowed suffixes: {', '.join(sorted(SUFFIXES))} (any case)")
    if len({path.stem for path in files}) == len(files):
        return [Photo(path, path.name) for path in files]
    common = Path(os.path.commonpath([path.resolve().parent for path in files]))
    return [Photo(path, path.resolve().relative_to(common).as_posix()) for path in files]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _matching(pattern: str) -> list[Photo]:
    """Photos in the files and folders that a pattern matches."""
    base = _glob_base(pattern)
    photos = []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        name = path.relative_to(base).as_posix()
        if path.is_dir() and _holds_photos(path.name, path.parent == base):
            photos += [Photo(photo.path, f"{name}/{photo.name}") for photo in _sorted_photos(path)]
        elif _is_photo(path) and path.is_file():
            photos.append(Photo(path, name))
    if not photos:
        raise InputError(f"{pattern}: no such file or folder, and no photo matches it as a pattern")
    return photos


def _glob_base(pattern: str) -> Path:
    """The leading part of a pattern that has no wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def check_unique_stems(photos: Iterable[Photo]) -> None:
    """Raise InputError when the outputs of two photos would have the same name, or a name is no text."""
    seen: dict[str, Photo] = {}
    for photo in photos:
        _check_text(photo)
        other = seen.setdefault(photo.stem, photo)
        if other.path != photo.path:
            raise InputError(
                f"{other.path} and {photo.path} would both write {photo.stem}: "
                "their names differ at most in suffix; rename one"
            )


def _check_text(photo: Photo) -> None:
    """Raise InputError for a name that is not UTF-8: no JSON, table or page of ours could hold it."""
    try:
        photo.name.encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(photo.path).decode("utf-8", "backslashreplace")
        raise InputError(f"photo {shown}: its name is not UTF-8; rename it (convmv -f latin1 -t utf8)") from None


def read_info(path: Path) -> PhotoInfo:
    """Size and EXIF of a photo. Raises InputError when it is not a readable image of an allowed size."""
    with _opened(path) as image:
        width, height = _stored_size(image)
        check_size(path, width, height)  # before Pillow looks for EXIF, which decodes the whole of a PNG
        exif = image.getexif()
        orientation = _orientation(exif)
        if orientation in _QUARTER_TURNS:
            width, height = height, width
        lens = read_lens(image, _stored_size(image))
        model = " ".join(str(exif[tag]).strip() for tag in (ExifTags.Base.Make, ExifTags.Base.Model) if tag in exif)
    return PhotoInfo(width, height, lens.focal_35mm, model or None, orientation, lens.source, lens.doubts)


def _orientation(exif: Image.Exif) -> int:
    """1 to 8; what is no orientation counts as 1, as Pillow has it."""
    value = exif.get(ExifTags.Base.Orientation, 1)
    return int(value) if value in range(1, 9) else 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) before any rotation: of a TIFF, newer versions of Pillow already give the upright size."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.tag_v2[TiffImagePlugin.IMAGEWIDTH], image.tag_v2[TiffImagePlugin.IMAGELENGTH]
    return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The opened image; errors of a broken file become an InputError."""
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes)")
        with Image.open(path) as image:
            yield image
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = "not an image file" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
    return InputError(f"{path} cannot be read as an image: {reason}")


def verify(path: Path) -> None:
    """Raise InputError unless all of a photo can be decoded and its size is allowed (JPEG is decoded at 1/8 size)."""
    with _opened(path) as image:
        check_size(path, *image.size)
        image.draft("RGB", (image.width // 8, image.height // 8))
        _load(image, path)


def _load(image: Image.Image, path: Path) -> None:
    """Decode the pixels. Raises InputError when there are others than the header says, as in a damaged HEIC."""
    width, height = image.size
    image.load()
    if image.size != (width, height):
        raise InputError(f"{path} says {width}x{height} pixels and has {image.width}x{image.height}")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) upright uint8 RGB of a photo. Raises InputError naming the file when it is broken or of a bad size."""
    with _opened(path) as image:
        check_size(path, *image.size)
        is_deep = image.mode in ("RGB", "RGBA") and _bits(image) == 16  # Pillow reads the upper 8 of them
        _load(image, path)
        if is_deep and np.asarray(image)[..., :3].max() < 2 ** (_SENSOR_BITS[-1] - 8):
            image = _deep_colour(path, image)
        return np.array(_to_rgb(ImageOps.exif_transpose(image), path), np.uint8)


def _bits(image: Image.Image) -> int:
    """Bits of a channel in the file of an image that was opened and not loaded."""
    return 16 if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())) else 8


def _deep_colour(path: Path, image: Image.Image) -> Image.Image:
    """A 16-bit colour image whose upper bits are empty, with 8 bits of what it uses, and the EXIF of ``image``."""
    pixels = read_pixels(path)
    colour = Image.fromarray(_to_8_bits(pixels[..., :3], path))
    if pixels.shape[-1] == 4:
        colour.putalpha(Image.fromarray((pixels[..., 3] >> 8).astype(np.uint8)))
    colour.info["exif"] = image.getexif().tobytes()
    return colour


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        return Image.fromarray(_to_8_bits(np.asarray(image), path)).convert("RGB")
    if image.mode == "F":
        raise InputError(f"{path} holds floating-point values; allowed: 8- or 16-bit integer images")
    if _has_alpha(image):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Integers of 16 bits as 8 bits; those of a sensor that leaves the upper ones empty, by the bits it has."""
    most = int(values.max(initial=0))
    bits = next((bits for bits in _SENSOR_BITS if 255 < most < 2**bits), 16)
    if bits < 16:
        _say_bits(path, bits)
    return np.asarray((values.clip(0, 65535) * (255 / (2**bits - 1))).round().clip(0, 255), np.uint8)


@functools.lru_cache(maxsize=4096)  # once for every photo, which is read by several stages
def _say_bits(path: Path, bits: int) -> None:
    log.warning("%s uses %d of its 16 bits: its values are taken for those of a %d-bit sensor", path, bits, bits)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _opaque(image: Image.Image) -> BoolArray | None:
    """(H, W) True where an image is more than half opaque; None where nothing of it is transparent."""
    if not _has_alpha(image):
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha > 127


def is_cut_out(path: Path) -> bool:
    """Whether a photo has transparent pixels, which makes it its own mask. Raises InputError when it is broken."""
    with _opened(path) as image:
        check_size(path, *image.size)
        return _opaque(image) is not None


def read_mask(path: Path, width: int, height: int) -> BoolArray:
    """(H, W) True at the pixels to use: where a mask is not black or, of one with transparent pixels, opaque.

    Raises InputError when its size differs.
    """
    with _opened(path) as image:
        size = image.size
        if sorted(size) == sorted((width, height)):  # decoded only then: a small file may hold any number of pixels
            upright = ImageOps.exif_transpose(image)
            opaque = _opaque(upright)
            used = np.asarray(upright.convert("RGB")).max(-1) > 0 if opaque is None else opaque
            size = upright.size
    if size != (width, height):
        raise InputError(f"mask {path} is {size[0]}x{size[1]} pixels, its photo {width}x{height}: they must agree")
    return used


def resize_rgb(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """``rgb`` (H, W, 3) resized to (height, width, 3): area average to shrink, bilinear to enlarge."""
    if rgb.shape[:2] == (height, width):
        return rgb
    shrink = width < rgb.shape[1]
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write grey (H, W) or RGB (H, W, 3), 8 or 16 bits, by rename. Raises OSError when it cannot be written."""
    bgr = image if image.ndim == 2 else image[..., ::-1]
    done, data = cv2.imencode(".png", np.ascontiguousarray(bgr))
    if not done:
        raise OSError(f"{path}: PNG encoding failed")
    write_atomically(path, lambda part: part.write_bytes(data.tobytes()))


def write_jpeg(path: Path, rgb: NDArray[np.uint8], quality: int, **options: Any) -> None:
    """Write (H, W, 3) RGB as JPEG, by rename; ``options`` are those of Pillow. Raises OSError when that fails."""
    write_atomically(
        path, lambda part: iio.imwrite(part, rgb, plugin="pillow", extension=".jpg", quality=quality, **options)
    )


def read_pixels(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels (H, W) or RGB (H, W, 3) of a PNG as they are stored, with all their bits (Pillow's RGB has 8).

    Raises InputError when it cannot be read.
    """
    try:
        check_image_bytes(path, str(path))
        return np.asarray(iio.imread(path, plugin="opencv", index=0, flags=cv2.IMREAD_UNCHANGED))
    except (OSError, ValueError, cv2.error):
        raise InputError(f"{path} is not a readable PNG") from None


def read_png16(path: Path) -> NDArray[np.uint16]:
    """A 16-bit PNG, (H, W) or RGB (H, W, 3). Raises InputError for any other file."""
    pixels = read_pixels(path)
    if pixels.dtype != np.uint16:
        raise InputError(f"{path} has {pixels.dtype} pixels; allowed: a 16-bit PNG")
    return np.asarray(pixels, np.uint16)
