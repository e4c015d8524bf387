"""Stage ``calibrate``: the camera of a photo from what is given, EXIF or its maps; depth that can be unprojected."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.config import CameraConfig, OutputConfig
from lotus_recon.calibration.single_view_camera import SingleView, estimate_camera
from lotus_recon.errors import InputError
from lotus_recon.geometry.depth import scale_free_from_affine
from lotus_recon.io.images import PhotoInfo, write_png
from lotus_recon.io.intrinsics import DEFAULT_FOV_DEG, DEFAULT_SOURCE, GivenIntrinsics, camera_of_photo
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.types import Camera, DepthKind, DepthMap, Prediction
from lotus_recon.workspace import write_json

log = logging.getLogger(__name__)

CAMERA_FILE, DEPTH_FILE, PREDICTION_FILE = "camera.json", "calibrated.npz", "prediction.npz"
DEPTH_RANGE, FOCAL_LENGTH = "depth range", "focal length"  # what may be guessed
# Least depth, where the nearest pixels (2nd percentile) are at 1 and the normals show the shift.
NEAREST_OF_SHOWN = 0.05


@dataclass(frozen=True, eq=False)
class Inputs:
    """Name and metadata of the photo, and its maps."""

    name: str
    info: PhotoInfo
    prediction: Prediction


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The camera at the size of the maps, where its focal length came from, and positive depth; None without depth.

    ``guessed`` names what is a default: ``depth range`` (of depth with unknown shift), ``focal length``.
    """

    camera: Camera
    source: str
    depth: DepthMap | None
    guessed: tuple[str, ...] = ()

    @property
    def doubt(self) -> str:
        """What is not known, for people; empty where all is."""
        if DEPTH_RANGE in self.guessed:
            return f"shape guessed ({' and '.join(self.guessed)})"
        return f"{FOCAL_LENGTH} guessed" if self.guessed else ""

    @classmethod
    def load(cls, folder: Path) -> Calibrated:
        """What ``run`` wrote. Raises InputError when a file is missing or broken."""
        path = folder / CAMERA_FILE
        try:
            content = json.loads(path.read_text())
            camera = Camera(*(content[key] for key in ("width", "height", "fx", "fy", "cx", "cy")))
            source, guessed = str(content["source"]), tuple(map(str, content.get("guessed", ())))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read as a camera: {error!r}") from None
        own = folder / DEPTH_FILE
        return cls(camera, source, load_prediction(own if own.is_file() else folder / PREDICTION_FILE).depth, guessed)


def run(inputs: Inputs, lens: CameraConfig, output: OutputConfig, out_dir: Path) -> Calibrated:
    """Write camera.json and, of a photo with depth, depth_16bit.png and prediction.npz with its range in ``meta``.

    Affine depth, made positive, goes to calibrated.npz (SCALE_FREE). Raises InputError for intrinsics of another size.
    """
    prediction = inputs.prediction
    camera, source = given_camera(inputs, lens)
    camera, source, estimated = _estimated(inputs, camera, source, lens, output)
    guessed = _guessed(prediction.depth, source, estimated)
    content: dict[str, Any] = {**asdict(camera), "fov_deg": camera.fov_deg, "source": source, "guessed": guessed}
    if inputs.info.doubts and _given(lens).is_silent:
        content["doubt"] = list(inputs.info.doubts)
        log.warning("%s: %s", inputs.name, "; ".join(inputs.info.doubts))
    if estimated is not None:
        content["estimate"] = asdict(estimated.estimate)
    depth = None
    if prediction.depth is not None:
        depth = _positive(prediction.depth, estimated, output.depth_range_ratio)
        if depth is not prediction.depth:
            save_prediction(out_dir / DEPTH_FILE, Prediction(depth, None, {"camera": CAMERA_FILE}))
        low, high = float(depth.values[depth.valid].min()), float(depth.values[depth.valid].max())
        write_png(out_dir / "depth_16bit.png", _quantised(depth, low, high))
        coded = {"depth_16bit": {"kind": depth.kind.value, "low": low, "high": high, "zero": "invalid"}}
        save_prediction(out_dir / PREDICTION_FILE, replace(prediction, meta={**prediction.meta, **coded}))
    write_json(out_dir / CAMERA_FILE, content)
    return Calibrated(camera, source, depth, guessed)


def _guessed(depth: DepthMap | None, source: str, estimated: SingleView | None) -> tuple[str, ...]:
    """What neither the user, EXIF, the kind of the depth nor the normals tell."""
    shift_is_open = depth is not None and depth.kind.has_shift
    is_shown = estimated is not None and estimated.estimate.shift_from == "normals"
    guesses = {DEPTH_RANGE: shift_is_open and not is_shown, FOCAL_LENGTH: source == DEFAULT_SOURCE}
    return tuple(name for name, is_guess in guesses.items() if is_guess)


def given_camera(inputs: Inputs, lens: CameraConfig) -> tuple[Camera, str]:
    """The camera from options, EXIF, the program that made the maps, or the default, at the size of the maps, and
    which of them it is."""
    height, width = inputs.prediction.shape
    camera, source = camera_of_photo(inputs.info, _given(lens), width, height)
    fov_deg = inputs.prediction.meta.get("fov_x_deg")
    if source == DEFAULT_SOURCE and isinstance(fov_deg, float) and 0 < fov_deg < 180:
        return Camera.from_fov_deg(fov_deg, width, height), f"{inputs.prediction.meta.get('model')} (fov.json)"
    return camera, source


def _given(lens: CameraConfig) -> GivenIntrinsics:
    return GivenIntrinsics(lens.intrinsics, lens.focal_px, lens.focal_35mm, lens.fov_deg)


def _estimated(
    inputs: Inputs, camera: Camera, source: str, lens: CameraConfig, output: OutputConfig
) -> tuple[Camera, str, SingleView | None]:
    """The camera that the maps show where none was given, and what they say; None where they are not asked."""
    prediction, estimated = inputs.prediction, None
    if lens.estimate_camera and prediction.depth is not None and prediction.normals is not None:
        is_known = source != DEFAULT_SOURCE
        estimated = estimate_camera(prediction.depth, prediction.normals, camera, is_known, output.depth_range_ratio)
        estimate = estimated.estimate
        if estimate.focal_from == "normals":
            camera = replace(camera, fx=estimate.focal_px, fy=estimate.focal_px)
            source = f"depth and normals, +- {estimate.fov_deg_90:.1f} degrees"
    log.info("%s: %dx%d, %.1f degrees wide, from %s", inputs.name, *camera.size, camera.fov_deg[0], source)
    if estimated is not None and estimated.estimate.reason:
        log.info("%s: %s; using the default", inputs.name, estimated.estimate.reason)
    return camera, source, estimated


def depth_as_written(prediction: Prediction, output: OutputConfig) -> DepthMap:
    """The depth that ``run`` writes of maps of a photo of which nothing else is known: no lens, no EXIF.

    Raises InputError for maps without depth.
    """
    if prediction.depth is None:
        raise InputError("the prediction has no depth")
    if not prediction.depth.kind.has_shift:
        return prediction.depth
    height, width = prediction.shape
    estimated = None
    if prediction.normals is not None and prediction.depth.valid.any():
        default = Camera.from_fov_deg(DEFAULT_FOV_DEG, width, height)
        estimated = estimate_camera(prediction.depth, prediction.normals, default, False, output.depth_range_ratio)
    return _positive(prediction.depth, estimated, output.depth_range_ratio)


def _positive(depth: DepthMap, estimated: SingleView | None, depth_range_ratio: float) -> DepthMap:
    """Depth that can be unprojected: as it is, with the shift that the normals show, or with that of the rule."""
    if not depth.kind.has_shift:
        return depth
    disparity = depth.kind is DepthKind.AFFINE_DISPARITY
    if estimated is not None and estimated.estimate.shift_from == "normals":
        shown, ratio = estimated.depth.values, estimated.estimate.depth_range_ratio
        values = scale_free_from_affine(shown, depth.valid, disparity, ratio, nearest=NEAREST_OF_SHOWN)
    else:
        values = scale_free_from_affine(depth.values, depth.valid, disparity, depth_range_ratio)
    return DepthMap(values.astype(np.float32), depth.valid, DepthKind.SCALE_FREE)


def _quantised(depth: DepthMap, low: float, high: float) -> NDArray[np.uint16]:
    """(H, W) 0 where invalid, otherwise 1 + 65534 (depth - low) / (high - low), rounded."""
    share = (depth.values.astype(np.float64) - low) / max(high - low, 1e-12)
    return np.where(depth.valid, 1 + np.rint(np.clip(share, 0, 1) * 65534), 0).astype(np.uint16)
