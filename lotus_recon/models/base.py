"""The interface of all models, and the device and dtype they run on."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lotus_recon.config import nearest
from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import fit_longer_edge
from lotus_recon.limits import BatchSize, CompileMode, Edge
from lotus_recon.options import Options
from lotus_recon.types import MAX_SIDE_PX, Prediction

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

TASKS = ("depth", "normal")
SMALLEST_TILE_PX = 64
WINDOWS = 6  # of a photo that an ensemble shows to a network that takes no noise, each mirrored too
_MOST_SEEDS = 64
DEFAULT_SEED = 0  # used when no seed is given, so that such calls are reproducible too

_DEVICES = ("auto", "cpu", "cuda", "mps")
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_DTYPE_NAMES = ("auto", "float32", "float16", "bfloat16")


class Model(Protocol):
    """An estimator of depth, normals or both."""

    @property
    def name(self) -> str:
        """Short name, safe as a file name."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it predicts: ``depth``, ``normal`` or both."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of images that ``predict_batch`` should get at once."""
        ...

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """Maps of an upright image (H, W, 3) at its size. ``view`` is its name, for models that look maps up."""
        ...

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3), whose sizes may differ, each with the same seed."""
        ...


@dataclass(frozen=True)
class ModelOptions(Options):
    """Options of a model besides its name. None means the default of the checkpoint."""

    predictions: Path | None = None  # folder of stored maps, for "precomputed"
    task: str | None = None  # depth | normal
    depth_space: str | None = None  # disparity | depth
    revision: str | None = None  # branch, tag or commit of a Hub id
    processing_res: Edge | None = None  # longer edge in pixels; 0 = as is
    batch_size: BatchSize | None = None  # images per network call
    compile: CompileMode = "auto"  # the networks, by torch.compile
    tiles: str = "off"  # off | auto | longer side of a tile in pixels of the photo
    ensemble: int = 1  # predictions of every photo, whose median is taken
    depth_kind: str | None = None  # of stored maps that do not say it, a DepthKind
    depth_unit: str | None = None  # of metric stored maps that do not say it
    normals_axes: Literal["opencv", "opengl", "lotus"] | None = None  # of stored normals that do not say it


@dataclass(frozen=True)
class ModelInfo:
    """Name and tasks of a model, available before its weights are loaded."""

    name: str  # short, file-safe
    tasks: tuple[str, ...]
    processing_res: int = 0  # longer edge in pixels at which the network works; 0 = that of the photo
    takes_noise: bool = False  # what it predicts depends on the seed
    is_symmetric: bool = False  # of a mirrored photo it predicts the mirrored maps
    sharpens: bool = False  # it puts edges of disparity where the photo has them


def expect_photos(model: Model, photos: int) -> None:
    """Tell a model, where it may be compiled here, that ``photos`` are to come: what ``--compile auto`` decides by."""
    compilation = getattr(model, "compilation", None)
    if compilation is not None:
        compilation.expect(photos)


def file_safe(text: str) -> str:
    """``text`` with everything that a file name should not have replaced by '-'."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "model"


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Raise InputError unless ``rgb`` is a uint8 (H, W, 3) array."""
    if not isinstance(rgb, np.ndarray):
        raise InputError(f"an image must be an array, uint8 (H, W, 3), not {type(rgb).__name__}")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise InputError(f"an image must be uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")


def check_choice(option: str, value: str | None, allowed: Sequence[str]) -> None:
    """Raise InputError naming ``option`` unless ``value`` is None or one of ``allowed``."""
    if value is not None and value not in allowed:
        raise InputError(f"{option} {value!r} is unknown; allowed: {', '.join(allowed)}")


def resolve_device(device: str) -> torch.device:
    """The torch device named auto | cpu | cuda | mps; auto takes the first available of cuda, mps, cpu.

    Raises InputError for an unknown name or a device that this machine does not have.
    """
    check_device_name(device)
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_available in available.items() if is_available))
    if not available[device.split(":")[0]]:
        names = ", ".join(name for name, is_available in available.items() if is_available)
        raise InputError(f"--device {device}: this machine or this build of torch has none; available: {names}")
    return torch.device(device)


def check_device_name(device: str) -> None:
    """Raise InputError for a device name that exists nowhere; ``cuda:1`` is allowed."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise InputError(f"--device {device!r} is unknown{nearest(device, list(_DEVICES))}")


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of the network on ``device``: by default float16 on CUDA, float32 elsewhere.

    bfloat16 on a CPU that is made for it takes a fifth of the time, but is off by up to 0.18 of the range of a map: it
    has to be asked for. CPUs without native support run it several times slower than float32, and MPS lacks
    half-precision kernels: what is ignored there is ignored with a warning. Raises InputError for an unknown name.
    """
    import torch

    name = check_dtype_name(dtype)
    if device.type == "cpu" and name == "bfloat16":
        return _bfloat16_on_cpu()
    if device.type != "cuda":
        if name not in ("auto", "float32"):
            log.warning("--dtype %s needs CUDA; the network runs in float32 on %s", dtype, device.type)
        return torch.float32
    resolved: torch.dtype = getattr(torch, "float16" if name == "auto" else name)
    return resolved


def _bfloat16_on_cpu() -> torch.dtype:
    import torch

    from lotus_recon.models.cpu import runs_bfloat16_faster

    if runs_bfloat16_faster():
        return torch.bfloat16
    log.warning("this CPU does not run bfloat16 faster than float32: the network runs in float32")
    return torch.float32


def check_dtype_name(dtype: str) -> str:
    """The long name of a dtype (fp16 -> float16). Raises InputError when it is unknown."""
    name = _DTYPES.get(dtype, dtype)
    if name not in _DTYPE_NAMES:
        raise InputError(f"--dtype {dtype!r} is unknown{nearest(dtype, list(_DTYPE_NAMES))}")
    return name


def check_tiles(tiles: str, edge: int) -> None:
    """Raise InputError unless ``--tiles`` is auto, off or a size, and the network works at a size of its own."""
    if tiles in ("auto", "off"):
        if tiles == "auto" and edge == 0:
            raise InputError("--tiles auto: the network takes photos as they are (--processing-res 0); allowed: off")
        return
    if not (tiles.isascii() and tiles.isdecimal() and SMALLEST_TILE_PX <= int(tiles) <= MAX_SIDE_PX):
        raise InputError(
            f"--tiles {tiles!r}; allowed: off, auto, or the longer side of a tile in pixels of the photo, "
            f"{SMALLEST_TILE_PX} to {MAX_SIDE_PX}"
        )
    if edge == 0:
        raise InputError(f"--tiles {tiles}: the network takes photos as they are (--processing-res 0); allowed: off")


def check_tile_fits(tiles: str, size: tuple[int, int], max_size: int, photo: str) -> None:
    """Raise InputError for tiles that are larger than a photo of ``size`` (width, height) when it is worked on.

    ``max_size``: its longer edge in pixels then, at most (0: any).
    """
    width, height = fit_longer_edge(*size, max_size)
    longest = max(width, height)
    if not tiles.isdecimal() or int(tiles) <= longest:
        return
    reduced = (width, height) != size
    by = f" with --max-size {max_size} ({size[0]}x{size[1]} without: --max-size 0)" if reduced else ""
    raise InputError(
        f"--tiles {tiles}: {photo} has {width}x{height} pixels{by} and is smaller than a tile; "
        f"allowed: auto, off, or {SMALLEST_TILE_PX} to {longest}"
    )


def check_ensemble(ensemble: int, info: ModelInfo) -> None:
    """Raise InputError unless a model has that many different predictions of a photo."""
    most = _MOST_SEEDS if info.takes_noise else WINDOWS if info.is_symmetric else 2 * WINDOWS
    if not 1 <= ensemble <= most:
        changed = "cut" if info.is_symmetric else "mirrored and cut"
        reason = "" if info.takes_noise else f" (it takes no noise: the photo is {changed})"
        raise InputError(f"--ensemble {ensemble}; allowed with this model: 1 to {most}{reason}")
