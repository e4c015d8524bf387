"""Scores and images of fixed validation samples, with the weights that would be saved now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lotus_recon.datasets.samples import Sample, TrainingSet
from lotus_recon.errors import InputError
from lotus_recon.evaluation.metrics import DepthAlignment, depth_metrics, normal_metrics
from lotus_recon.io.visualization import RgbImage, colorize_depth, colorize_normals, contact_sheet
from lotus_recon.training.task_module import TaskModule
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction

log = logging.getLogger(__name__)

_ALIGNMENT: dict[DepthKind, DepthAlignment] = {
    DepthKind.AFFINE_DISPARITY: "affine_disparity",
    DepthKind.AFFINE: "affine",
    DepthKind.SCALE_FREE: "scale",
    DepthKind.METRIC: "none",
}
_SAMPLES_SHOWN = 8
_NO_VALUE = 48


@dataclass(frozen=True, eq=False)
class Choice:
    """One sample to validate on."""

    dataset: TrainingSet
    index: int


@dataclass(frozen=True, eq=False)
class Validation:
    """Mean scores over the samples, named ``depth/abs_rel``, and a contact sheet."""

    scores: dict[str, float]
    image: RgbImage | None


@dataclass(frozen=True, eq=False)
class _Result:
    place: int  # in the list of choices
    scores: Mapping[str, float]
    row: Mapping[str, RgbImage]  # by label


def choose_samples(sets: Sequence[TrainingSet], count: int) -> list[Choice]:
    """``count`` samples of each set, evenly spaced; all samples of a smaller set."""
    return [
        Choice(dataset, int(index))
        for dataset in sets
        for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round()
    ]


def validate(
    task_module: TaskModule,
    choices: Sequence[Choice],
    process_index: int = 0,
    process_count: int = 1,
    gather: Callable[[list[_Result]], list[_Result]] = list,
) -> Validation:
    """Predict and score the samples, shared out over the processes; ``gather`` joins the lists of all processes.

    The same for any number of processes. A sample that cannot be read or scored is left out with a warning.
    """
    mine = range(process_index, len(choices), process_count)
    training = task_module.network.training
    task_module.network.eval()
    with torch.no_grad():
        scored = [_scored(task_module, choices[place], place) for place in mine]
    task_module.network.train(training)
    results = sorted(gather([result for result in scored if result is not None]), key=lambda result: result.place)
    shown = [result.row for result in results[:_SAMPLES_SHOWN]]
    return Validation(_means([result.scores for result in results]), _sheet(shown) if shown else None)


def _scored(task_module: TaskModule, choice: Choice, place: int) -> _Result | None:
    name = choice.dataset.name(choice.index)
    try:
        sample = choice.dataset.load(choice.index)
        prediction = task_module.predict([sample.rgb])[0]
        scores = score(prediction, sample)
    except InputError as error:
        log.warning("validation sample %s is left out: %s", name, error)
        return None
    return _Result(place, scores, _row(prediction, sample) if place < _SAMPLES_SHOWN else {})


def score(prediction: Prediction, sample: Sample) -> dict[str, float]:
    """Scores of the maps that both have. Depth is aligned as its kind needs. Raises InputError as the metrics do."""
    scores: dict[str, float] = {}
    if prediction.depth is not None and sample.depth is not None and sample.depth_valid is not None:
        align = _ALIGNMENT[prediction.depth.kind]
        values = depth_metrics(prediction.depth.values, sample.depth, sample.depth_valid, align)
        scores |= {f"depth/{name}": value for name, value in values.items()}
    if prediction.normals is not None and sample.normals is not None and sample.normals_valid is not None:
        values = normal_metrics(prediction.normals.values, sample.normals, sample.normals_valid)
        scores |= {f"normal/{name}": value for name, value in values.items()}
    return scores


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over the samples that have it."""
    names = dict.fromkeys(name for values in scores for name in values)
    return {name: float(np.mean([values[name] for values in scores if name in values])) for name in names}


def _row(prediction: Prediction, sample: Sample) -> dict[str, RgbImage]:
    """The photo, then prediction and truth of each map that is predicted, by label."""
    nothing = np.full_like(sample.rgb, _NO_VALUE)
    row: dict[str, RgbImage] = {"photo": sample.rgb}
    if prediction.depth is not None:
        truth = _true_depth(sample, prediction.depth.kind)
        row["depth"] = colorize_depth(prediction.depth)
        row["true depth"] = nothing if truth is None else colorize_depth(truth)
    if prediction.normals is not None:
        row["normals"] = colorize_normals(prediction.normals)
        row["true normals"] = nothing
        if sample.normals is not None and sample.normals_valid is not None:
            row["true normals"] = colorize_normals(NormalMap(sample.normals, sample.normals_valid))
    return row


def _true_depth(sample: Sample, kind: DepthKind) -> DepthMap | None:
    """True depth in the space of the prediction, so that both have the same colours."""
    if sample.depth is None or sample.depth_valid is None:
        return None
    if kind is not DepthKind.AFFINE_DISPARITY:
        return DepthMap(sample.depth, sample.depth_valid, kind)
    depth = np.where(sample.depth_valid, sample.depth, np.float32(1)).astype(np.float32)
    return DepthMap(np.reciprocal(depth), sample.depth_valid, kind)


def _sheet(rows: Sequence[Mapping[str, RgbImage]]) -> RgbImage:
    labels = [label for row in rows for label in row]
    return contact_sheet([picture for row in rows for picture in row.values()], labels, columns=len(rows[0]))
