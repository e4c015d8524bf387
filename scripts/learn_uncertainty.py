"""Learn the scale of depth errors on rendered photos: PYTHONPATH=. python scripts/learn_uncertainty.py WORK [ROOMS]

Renders short walks through rooms that no figure is made on, reconstructs each with an ensemble, and fits
lotus_recon/uncertainty/learnt.json to the errors of the depth; those of single photos on rooms and worlds of a seed of
their own. What is there already is kept: it resumes.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.calibration.config import OutputConfig
from lotus_recon.calibration.stage import depth_as_written
from lotus_recon.config import load_config
from lotus_recon.datasets.rooms import RoomsSet
from lotus_recon.io.intrinsics import DEFAULT_FOV_DEG
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.scene_maps import POSED_DEPTH, SceneMaps
from lotus_recon.models import load_model
from lotus_recon.recipes.multi_view import scene_job
from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config
from lotus_recon.stages import Context, stages_of
from lotus_recon.types import Camera
from lotus_recon.uncertainty import photo, scale
from lotus_recon.uncertainty.spec import inputs_of
from lotus_recon.uncertainty.stage import predictors_of
from lotus_recon.workspace import Workspace
from tests.acceptance.command import multi_view
from tests.acceptance.walks import write_walk

LEARNT = Path("lotus_recon/uncertainty") / scale.FILE
FIRST = 100  # number of the first room: figures are made on those below
PIXELS = 4000  # of a view
ALWAYS, OPTIONAL = ("edge", "slant", "doubt", "far"), ("bent", "unmatched", "spread")
OF_PHOTOS = ("edge", "slant", "middle", "empty")

MEMBERS = 5
PHOTOS = {
    "make_rooms": ("--scenes", "24", "--views", "2", "--size", "320x240", "--no-mesh"),
    "make_worlds": ("--count", "24", "--views", "2", "--size", "320x240", "--family", "streets,objects,creatures"),
}

Samples = tuple[Mapping[str, NDArray[np.float32]], NDArray[np.float64]]  # predictors (N,) by name, relative errors (N,)


def main(work: Path, rooms: int = 12) -> None:
    """Write ``learnt.json``."""
    made = [folder for number in range(rooms) if _reconstructed(folder := work / f"room_{FIRST + number}", number)]
    scales = []
    for stereo in (True, False):
        predictors, errors = _joined([_samples(folder, _out(folder, stereo)) for folder in made])
        for optional in _subsets(OPTIONAL):
            if ("unmatched" in optional) == stereo:
                scales.append(scale.fit(predictors, errors, [*ALWAYS, *optional]))
    predictors, errors = _joined(list(_photos(work)))
    photos = [scale.fit(predictors, errors, [*OF_PHOTOS, *optional]) for optional in _subsets(("bent",))]
    scale.save(LEARNT, {"scene": scales, "photo": photos})


def _out(folder: Path, stereo: bool) -> Path:
    return folder / ("out" if stereo else "out_without_stereo")


def _reconstructed(folder: Path, number: int) -> bool:
    """Whether a room has a reconstruction with and without stereo; few photos of some rooms overlap."""
    if not (folder / "transforms.json").is_file():
        write_walk(FIRST + number, folder, "raycast")
    options = (
        "--poses",
        str(folder / "transforms.json"),
        "--pose-unit",
        "m",
        "--holdout-strict",
        "--ensemble",
        str(MEMBERS),
    )
    for stereo in (True, False):
        if not (_out(folder, stereo) / "consistency").is_dir():
            try:
                multi_view(folder / "images", _out(folder, stereo), *options, *(() if stereo else ("--no-mvs",)))
            except subprocess.CalledProcessError:
                return False
    return True


def _samples(folder: Path, out: Path) -> Samples:
    """Some pixels of all views with their true errors."""
    job = scene_job(folder / "images", load_config(multi_view_config(), out / "config.yaml"), out)
    inputs = inputs_of(Context(Workspace(out), job, stages_of(MULTI_VIEW, job)))
    checked, random = SceneMaps(inputs.checked_dir, ("depth", "confidence"), POSED_DEPTH), np.random.default_rng(0)
    parts: list[Samples] = []
    for view in filter(checked.has, inputs.scene.views):
        maps, truth = checked.load(view), load_arrays(folder / "truth" / f"{view.stem}.npz")
        depth = maps.required_depth
        both = np.flatnonzero(depth.valid & truth["valid"])
        some = random.choice(both, min(PIXELS, len(both)), replace=False)
        errors = np.log(depth.values.ravel()[some] / truth["depth"].ravel()[some])
        predictors = predictors_of(inputs, view, maps)
        parts.append(({name: values.ravel()[some] for name, values in predictors.items()}, errors))
    return _joined(parts)


def _photos(work: Path) -> Iterator[Samples]:
    """Some pixels of rendered photos of which nothing is known but how they look."""
    model, output, random = load_model("nano"), OutputConfig(), np.random.default_rng(0)
    for module, options in PHOTOS.items():
        words = ["-m", f"pipelines.{module}", "--out", str(work / module), "--seed", "24680", *options, "--quiet"]
        subprocess.run([sys.executable, *words], check=True)
        photos = RoomsSet(work / module, "all")
        for sample in map(photos.load, range(len(photos))):
            prediction = model.predict(sample.rgb)
            assert prediction.depth is not None
            assert sample.depth is not None
            assert sample.depth_valid is not None
            both = np.flatnonzero(prediction.depth.valid & sample.depth_valid)
            if len(both) < PIXELS:
                continue
            height, width = prediction.shape
            depth = depth_as_written(prediction, output)
            some = random.choice(both, PIXELS, replace=False)
            ratio = np.log(depth.values.ravel()[some] / sample.depth.ravel()[some])
            found = photo.predictors_of(depth, prediction.normals, Camera.from_fov_deg(DEFAULT_FOV_DEG, width, height))
            yield {name: values.ravel()[some] for name, values in found.items()}, ratio - np.median(ratio)


def _joined(parts: Sequence[Samples]) -> Samples:
    """All samples; only the predictors that every part has."""
    names = set.intersection(*(set(predictors) for predictors, _ in parts))
    predictors = {name: np.concatenate([part[name] for part, _ in parts]) for name in sorted(names)}
    return predictors, np.concatenate([errors for _, errors in parts])


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(len(names) + 1):
        yield from itertools.combinations(names, count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
