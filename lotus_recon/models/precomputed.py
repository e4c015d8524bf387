"""Maps made elsewhere (another network, a sensor), read from a folder instead of predicted.

``<view>.npz`` in the folder belongs to the photo ``<view>.<suffix>`` as given: upright, at full size, not undistorted.
So do the files of other programs, see ``layouts``, and a folder that single_view wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lotus_recon.content import content_of
from lotus_recon.errors import InputError
from lotus_recon.io.images import Photo, read_info
from lotus_recon.io.maps import load_prediction
from lotus_recon.io.npz import npz_shapes
from lotus_recon.models.base import ModelInfo, ModelOptions, check_rgb
from lotus_recon.models.layouts import (
    DEPTH_ANYTHING_3,
    Layout,
    files_of,
    has_depth,
    has_normals,
    map_files,
    results_file,
)
from lotus_recon.models.stored_maps import (
    SIDECAR,
    UNSAID,
    Meaning,
    check_meaning,
    check_ratio,
    fitted,
    is_own,
    read_map_files,
    read_plain_npz,
    read_results,
    read_sidecar_maps,
)
from lotus_recon.progress import track
from lotus_recon.types import DepthKind, Prediction
from lotus_recon.workspace import fingerprint as hash_of

log = logging.getLogger(__name__)

NAMES: Mapping[str, str] = {"precomputed": "maps stored in --predictions DIR, ours or those of other programs"}
# SCENE is what alignment makes; nothing that is stored can be in the unit of poses that are not known yet.
STORED_KINDS = frozenset(DepthKind) - {DepthKind.SCENE}
_OF_PHOTO = "{view}/prediction.npz"  # what single_view writes
_SHOWN = 5  # names or problems spelled out in a message


class MissingPredictionError(InputError):
    """There is no stored map for a view."""


class PrecomputedModel:
    """Reads stored maps by the name of the view."""

    name = "precomputed"
    batch_size = 1

    def __init__(self, folder: Path, meaning: Meaning = UNSAID) -> None:
        self.folder, self.meaning = folder, meaning
        self.tasks = _tasks(folder)

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """The stored maps of ``view``, which must have the size of its photo ``rgb`` (H, W, 3). ``seed`` is ignored.

        Raises MissingPredictionError when there is none, InputError when the file is broken or of another size.
        """
        check_rgb(rgb)
        if view is None:
            raise InputError("precomputed maps are looked up by name: predict(rgb, view=NAME)")
        return load_for_photo(self.folder, view, rgb.shape[1], rgb.shape[0], self.meaning)

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
        raise InputError("--model precomputed needs --predictions DIR, the folder of the maps")
    meaning_of(options)
    for option in ("task", "depth_space", "revision", "processing_res"):
        if getattr(options, option) is not None:
            raise InputError(f"--{option.replace('_', '-')} applies to networks, not to --model precomputed")
    if options.tiles != "off":
        raise InputError("--tiles applies to networks, not to --model precomputed; allowed: off")
    if options.ensemble != 1:
        raise InputError(f"--ensemble {options.ensemble} applies to networks, not to --model precomputed; allowed: 1")
    return ModelInfo(name, _tasks(options.predictions))


def load(name: str, options: ModelOptions, device: str, dtype: str) -> PrecomputedModel:
    """The model; device and dtype are ignored."""
    assert options.predictions is not None  # by check()
    return PrecomputedModel(options.predictions, meaning_of(options))


def meaning_of(options: ModelOptions) -> Meaning:
    """What the options say of stored maps. Raises InputError when they contradict each other."""
    return Meaning(options.depth_kind, options.depth_unit, options.normals_axes)


def fetch(name: str, options: ModelOptions) -> None:
    """Nothing is ever downloaded."""


def fingerprint(name: str, options: ModelOptions) -> str:
    """Changes when a stored map is added, removed or changed."""
    assert options.predictions is not None  # by check()
    folder = options.predictions
    return hash_of([(path.relative_to(folder).as_posix(), content_of(path)) for path in map_files(folder)])


def prediction_file(folder: Path, view: str) -> Path:
    """Where the maps of a view are expected: its name with npz for its suffix."""
    return _path(folder, "{view}.npz", view)


def _path(folder: Path, pattern: str, view: str) -> Path:
    return folder / pattern.replace("{view}", str(PurePosixPath(view).with_suffix("")))


def load_for_photo(folder: Path, view: str, width: int, height: int, meaning: Meaning = UNSAID) -> Prediction:
    """The stored maps of a photo of the given size in pixels, upright; ``meaning`` is what the files do not say.

    Raises MissingPredictionError when there are none, InputError naming the file when they do not fit.
    """
    path = prediction_file(folder, view)
    if path.is_file():
        if is_own(path):
            return _own(path, width, height, meaning)
        shape = npz_shapes(path).get("depth", ())
        if len(shape) >= 2:  # before its data takes any memory
            check_ratio(path, (shape[-1], shape[-2]), (width, height), DEPTH_ANYTHING_3.step_px)
    found = _foreign(folder, view, meaning)
    if found is None:
        raise MissingPredictionError(f"no prediction for {view}: {path} does not exist")
    prediction, path, step_px = found
    return fitted(prediction, width, height, path, step_px)


def _own(path: Path, width: int, height: int, meaning: Meaning) -> Prediction:
    for name, shape in npz_shapes(path).items():
        if name in ("depth", "normals") and len(shape) >= 2:
            _check_size(path, shape[1], shape[0], width, height)
    prediction = _with_depth(path, meaning)
    check_map_size(path, prediction, width, height)
    return prediction


def _with_depth(path: Path, meaning: Meaning) -> Prediction:
    """Maps of ours, which say what they are: options may not say otherwise."""
    prediction = load_prediction(path)
    if prediction.depth is None:
        raise InputError(f"{path} has no 'depth'; needed: float32 (H, W)")
    check_meaning(Layout("", (), kinds=(prediction.depth.kind,), metres=1.0), path, None, meaning)
    return prediction


def _foreign(folder: Path, view: str, meaning: Meaning) -> tuple[Prediction, Path, int] | None:
    """Maps at their own size, the file of the depth, and the multiple that its sides are rounded to."""
    of_photo, plain, sidecar = (_path(folder, name, view) for name in (_OF_PHOTO, "{view}.npz", SIDECAR))
    if of_photo.is_file():
        return _with_depth(of_photo, meaning), of_photo, 0
    if plain.is_file():
        return read_plain_npz(plain, meaning), plain, DEPTH_ANYTHING_3.step_px
    if sidecar.is_file():
        return read_sidecar_maps(sidecar), sidecar, 0
    files = files_of(folder, view)
    if files is not None:
        return read_map_files(files, meaning), files.depth, files.layout.step_px
    results = results_file(folder)
    prediction = None if results is None else read_results(results, view, meaning)
    return None if prediction is None or results is None else (prediction, results, DEPTH_ANYTHING_3.step_px)


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


def check_whose(folder: Path, photos: Sequence[Photo], meaning: Meaning = UNSAID) -> None:
    """Raise InputError when files of other programs cannot be those of ``photos``, or leave their meaning open.

    Programs that flatten folders write one file for two photos of one name, and some do not see that EXIF turns a
    photo; neither shows in the size of a map. Reads no map.
    """
    of_file: dict[Path, str] = {}
    results = results_file(folder)
    for photo in photos:
        path = prediction_file(folder, photo.name)
        if path.is_file() or _path(folder, _OF_PHOTO, photo.name).is_file():
            continue
        files = files_of(folder, photo.name)
        if files is not None:
            layout = files.layout
            check_meaning(layout, files.depth, files.normals, meaning)
            other = of_file.setdefault(files.depth, photo.name)
            if other != photo.name:
                raise InputError(f"{files.depth} would be the depth of both {other} and {photo.name}: rename one photo")
        elif results is not None:
            layout = DEPTH_ANYTHING_3
            check_meaning(layout, results, None, meaning)
        else:
            continue
        if layout.ignores_exif:
            _refuse_turned(photo, layout.program)


def _refuse_turned(photo: Photo, program: str) -> None:
    orientation = read_info(photo.path).orientation
    if orientation != 1:
        raise InputError(
            f"EXIF turns or mirrors {photo.name} (orientation {orientation}), which {program} does not look at: its "
            "maps are of the photo as stored. Store photos upright (mogrify -auto-orient PHOTO) and let it run again"
        )


def check_predictions(
    folder: Path,
    photos: Sequence[Photo],
    kinds: Collection[DepthKind] = STORED_KINDS,
    meaning: Meaning = UNSAID,
) -> list[str]:
    """Names of the photos without stored maps; the maps of all others are read and checked.

    Raises one InputError that lists all errors (size, a kind other than ``kinds``, values, missing keys), or when there
    are no maps at all.
    """
    check_whose(folder, photos, meaning)
    problems, missing = [], []
    for photo in track(photos, "checking predictions", len(photos)):
        try:
            info = read_info(photo.path)
            check_kind(load_for_photo(folder, photo.name, info.width, info.height, meaning), photo.name, kinds)
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
    """What the first stored map, or any file of another program, is of.

    Raises InputError when the folder is missing or empty.
    """
    if not folder.is_dir():
        raise InputError(f"--predictions {folder}: no such folder")
    stored = sorted(folder.rglob("*.npz"))
    first = next((path for path in stored if path.name == Path(_OF_PHOTO).name), next(iter(stored), None))
    if first is None and not has_depth(folder) and not any(folder.glob(SIDECAR.replace("{view}", "**/*"))):
        raise InputError(f"--predictions {folder} contains no maps; docs/formats.md lists what is read")
    in_npz = first is not None and "normals" in npz_shapes(first)
    return ("depth", "normal") if in_npz or has_normals(folder) else ("depth",)
