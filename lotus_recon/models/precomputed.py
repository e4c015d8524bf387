"""Maps made elsewhere (another network, a sensor), read from a folder instead of predicted.

``<view>.npz`` in the folder belongs to the photo ``<view>.<suffix>`` as given: upright, at full size, not undistorted.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lotus_recon.content import content_of
from lotus_recon.errors import InputError
from lotus_recon.io.images import Photo, read_info
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.npz import npz_shapes
from lotus_recon.models.base import ModelInfo, ModelOptions, check_rgb
from lotus_recon.progress import track
from lotus_recon.types import DepthKind, Prediction
from lotus_recon.workspace import fingerprint as hash_of

log = logging.getLogger(__name__)

NAMES: Mapping[str, str] = {"precomputed": "maps stored in --predictions DIR, one <view>.npz per photo"}
# SCENE is what alignment makes; nothing that is stored can be in the unit of poses that are not known yet.
STORED_KINDS = frozenset(DepthKind) - {DepthKind.SCENE}
_SHOWN = 5  # names or problems spelled out in a message


class MissingPredictionError(InputError):
    """There is no stored map for a view."""


class PrecomputedModel:
    """Reads stored maps by the name of the view."""

    name = "precomputed"
    batch_size = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks = _tasks(folder)

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """The stored maps of ``view``, which must have the size of its photo ``rgb`` (H, W, 3). ``seed`` is ignored.

        Raises MissingPredictionError when there is none, InputError when the file is broken or of another size.
        """
        check_rgb(rgb)
        if view is None:
            raise InputError("precomputed maps are looked up by name: predict(rgb, view=NAME)")
        return load_for_photo(self.folder, view, rgb.shape[1], rgb.shape[0])

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """``predict`` of several images (H, W, 3); ``views`` are their names."""
        if views is None or len(views) != len(images):
            raise InputError("precomputed maps are looked up by name: as many views as images are needed")
        return [self.predict(rgb, view=view) for rgb, view in zip(images, views, strict=True)]


def accepts(name: str) -> bool:
    """Only its own name."""
    return name in NAMES


def check(name: str, options: ModelOptions) -> ModelInfo:
    """Name and tasks. Raises InputError when the folder is missing, empty, or options for networks were given."""
    if options.predictions is None:
        raise InputError("--model precomputed needs --predictions DIR, the folder of <view>.npz files")
    for option in ("task", "depth_space", "revision", "processing_res"):
        if getattr(options, option) is not None:
            raise InputError(f"--{option.replace('_', '-')} applies to networks, not to --model precomputed")
    return ModelInfo(name, _tasks(options.predictions))


def load(name: str, options: ModelOptions, device: str, dtype: str) -> PrecomputedModel:
    """The model; device and dtype are ignored."""
    assert options.predictions is not None  # by check()
    return PrecomputedModel(options.predictions)


def fetch(name: str, options: ModelOptions) -> None:
    """Nothing is ever downloaded."""


def fingerprint(name: str, options: ModelOptions) -> str:
    """Changes when a stored map is added, removed or changed."""
    assert options.predictions is not None  # by check()
    folder = options.predictions
    return hash_of([(path.relative_to(folder).as_posix(), content_of(path)) for path in sorted(folder.rglob("*.npz"))])


def prediction_file(folder: Path, view: str) -> Path:
    """Where the maps of a view are: its name with npz for its suffix."""
    return folder / f"{PurePosixPath(view).with_suffix('')}.npz"


def load_for_photo(folder: Path, view: str, width: int, height: int) -> Prediction:
    """The stored maps of a photo of the given size in pixels, upright.

    Raises MissingPredictionError when there are none, InputError naming the file when they do not fit.
    """
    path = prediction_file(folder, view)
    if not path.is_file():
        raise MissingPredictionError(f"no prediction for {view}: {path} does not exist")
    for name, shape in npz_shapes(path).items():
        if name in ("depth", "normals") and len(shape) >= 2:
            _check_size(path, shape[1], shape[0], width, height)
    prediction = load_prediction(path)
    if prediction.depth is None:
        raise InputError(f"{path} has no 'depth'; needed: float32 (H, W)")
    check_map_size(path, prediction, width, height)
    return prediction


def check_map_size(path: Path, prediction: Prediction, width: int, height: int) -> None:
    """Raise InputError unless the maps have the size of the upright photo."""
    _check_size(path, prediction.shape[1], prediction.shape[0], width, height)


def _check_size(path: Path, map_width: int, map_height: int, width: int, height: int) -> None:
    if (map_width, map_height) == (width, height):
        return
    message = f"{path} is {map_width}x{map_height} pixels, its photo {width}x{height}: they must agree"
    if (map_width, map_height) == (height, width):
        message += " (maps must have the orientation of the photo after its EXIF rotation)"
    raise InputError(message)


def check_predictions(folder: Path, photos: Sequence[Photo], kinds: Collection[DepthKind] = STORED_KINDS) -> list[str]:
    """Names of the photos without stored maps; the maps of all others are read and checked.

    Raises one InputError that lists all errors (size, a kind other than ``kinds``, values, missing keys), or when there
    are no maps at all.
    """
    problems, missing = [], []
    for photo in track(photos, "checking predictions", len(photos)):
        try:
            info = read_info(photo.path)
            check_kind(load_for_photo(folder, photo.name, info.width, info.height), photo.name, kinds)
        except MissingPredictionError:
            missing.append(photo.name)
        except InputError as error:
            problems.append(str(error))
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(f"{len(problems)} of the predictions in {folder} cannot be used:\n{listed}{more}")
    refuse_none(folder, missing, [photo.name for photo in photos])
    return missing


def check_kind(prediction: Prediction, name: str, kinds: Collection[DepthKind]) -> None:
    """Raise InputError unless the depth kind of photo ``name`` is one of ``kinds``."""
    if prediction.depth is not None and prediction.depth.kind not in kinds:
        allowed = ", ".join(kind.value for kind in DepthKind if kind in kinds)
        raise InputError(f"the stored depth of {name} is {prediction.depth.kind.value}; allowed here: {allowed}")


def refuse_none(folder: Path, missing: Sequence[str], all_views: Sequence[str]) -> None:
    """Raise InputError when no view has a stored map."""
    if missing and len(missing) == len(all_views):
        raise InputError(
            f"{folder} holds predictions for none of the {len(all_views)} photos; "
            f"expected, for instance, {prediction_file(folder, all_views[0])}"
        )


def report_missing(folder: Path, missing: Sequence[str], all_views: Sequence[str]) -> None:
    """Warn of views without predictions. Raises InputError when no view has any."""
    refuse_none(folder, missing, all_views)
    if missing:
        log.warning("%d of %d photos have no prediction: %s", len(missing), len(all_views), shortened(missing))


def shortened(names: Sequence[str]) -> str:
    """The first few of a list of names, and the number of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _tasks(folder: Path) -> tuple[str, ...]:
    """The tasks of the first stored map. Raises InputError when the folder is missing or empty."""
    if not folder.is_dir():
        raise InputError(f"--predictions {folder}: no such folder")
    first = next(iter(_stored(folder)), None)
    if first is None:
        raise InputError(f"--predictions {folder} contains no .npz file")
    return ("depth", "normal") if "normals" in npz_shapes(first) else ("depth",)


def _stored(folder: Path) -> Iterable[Path]:
    return sorted(folder.rglob("*.npz"))
