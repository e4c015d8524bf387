"""The adaptation stage: the network learns the scene, predicts its depth again, and the maps are made anew."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lotus_recon.adaptation.agreement import disagreement
from lotus_recon.adaptation.config import AUTO_SHARE, AdaptationConfig
from lotus_recon.adaptation.learning import Learning, Learnt
from lotus_recon.adaptation.matched_points import with_matched_points
from lotus_recon.adaptation.networks import Learner, learner_of, why_not
from lotus_recon.adaptation.results import ALIGNED, MODEL, AdaptationResult, ViewErrors
from lotus_recon.adaptation.targets import Targets, TargetSource, views_to_learn
from lotus_recon.alignment import stage as alignment
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.config import Runtime
from lotus_recon.errors import AlignmentError
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.geometry.points import point_errors
from lotus_recon.io.images import read_rgb
from lotus_recon.io.scene_maps import SCENE_DEPTH, SceneMaps, ViewMaps
from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.mvs.completion import complete
from lotus_recon.mvs.guides import Guide, Guides
from lotus_recon.mvs.view_maps import FILLED_CONFIDENCE
from lotus_recon.progress import track
from lotus_recon.types import BoolArray, DepthKind, DepthMap, FloatArray, NormalMap, Scene, View

log = logging.getLogger(__name__)

MATCHED, EXCLUDED = "matched", "excluded"  # of ViewStereo.status
_WORK = "work"  # folder for what a killed run leaves to the next; removed when the stage is done
_MOST_PIXELS = 20_000_000  # of all photos that are learnt from, at the size of the network's input: bounds the memory
_FEWEST = 200  # known pixels of a photo on average, below which there is nothing to learn from
_FEWEST_HELD_OUT = 10  # sparse points, without which nothing says whether the depth gets better
_MARGIN = 0.1  # by which the error must fall
_FARTHER_APART = 1.1  # factor by which the views may disagree more where photos decide nothing
_PULL = 1e-2  # towards the depth of the adapted network where nothing is matched: it can be trusted more than before


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the stage reads."""

    scene: Scene
    images_dir: Path
    prediction_dir: Path  # <stem>.npz as predicted by the network that came
    alignment_dir: Path  # the same, aligned
    mvs_dir: Path | None  # depth by multi-view stereo; None: the run has none
    status: Mapping[str, str]  # what became of each view there, by name; empty without it
    held_out: BoolArray  # (P,) sparse points that nothing may learn from
    model: str
    model_options: ModelOptions
    runtime: Runtime
    seconds_before: float  # that all stages before took

    @property
    def before_dir(self) -> Path:
        """The maps that the adapted ones replace."""
        return self.mvs_dir or self.alignment_dir


def run(inputs: Inputs, config: AdaptationConfig, alignment_config: AlignmentConfig, out_dir: Path) -> AdaptationResult:
    """Adapt the network; writes ``<stem>.npz``, adaptation.json and, where it was adapted, model/ and aligned/.

    Continues with what a killed run of the same inputs and options left in ``out_dir``. Raises InputError for maps and
    photos that cannot be read, ModelError when the network cannot be loaded or run.
    """
    result = _adapted(inputs, config, alignment_config, out_dir)
    if not result.adapted:
        log.info("the network is not adapted: %s", result.reason)
        _keep_maps(inputs, out_dir)
        for name in (ALIGNED, MODEL):
            shutil.rmtree(out_dir / name, ignore_errors=True)
    result.save()
    shutil.rmtree(out_dir / _WORK, ignore_errors=True)
    return result


def _adapted(
    inputs: Inputs, config: AdaptationConfig, alignment_config: AlignmentConfig, out_dir: Path
) -> AdaptationResult:
    options, runtime = inputs.model_options, inputs.runtime
    if reason := why_not(inputs.model, options):
        return AdaptationResult(out_dir, False, f"--model {inputs.model} cannot learn: {reason}")
    learner = learner_of(inputs.model, options, runtime.device, runtime.dtype, config.advanced.lora_rank)
    targets = _targets(inputs, learner)
    points = sum(each.points for each in targets)
    known = sum(int((each.weight > 0).sum()) for each in targets)
    result = AdaptationResult(out_dir, False, "", len(targets), known - points, points, learner.frozen)
    if not targets or known < _FEWEST * len(targets):
        return replace(result, reason=f"{known} pixels with known depth in {len(targets)} photos are too few")
    if inputs.held_out.sum() < _FEWEST_HELD_OUT:
        return replace(result, reason=f"{inputs.held_out.sum()} held-out points cannot tell whether it gets better")
    learning = Learning(learner, targets, config, runtime.seed)
    (out_dir / _WORK).mkdir(exist_ok=True)
    allowed = AUTO_SHARE * inputs.seconds_before if config.adapt == "auto" else None
    learnt = learning.run(out_dir / _WORK / "learning.pt", allowed)
    if learnt is None:
        return replace(result, reason=_too_slow(learning.steps, inputs.seconds_before))
    result = _with_learnt(result, learnt)
    if learnt.error_after > (1 - _MARGIN) * learnt.error_before:
        return replace(result, reason=f"the error at depth kept aside did not fall by {_MARGIN:.0%}")
    model = learner.model()
    learner.save(out_dir / MODEL)
    _predict(inputs, model, out_dir / _WORK / "prediction")
    try:
        _align(inputs, alignment_config, out_dir)
    except AlignmentError as error:
        return replace(result, reason=f"its depth could not be aligned: {error}")
    result = _with_held_out(inputs, result)
    if _is_worse(result):
        return replace(result, reason="the error at held-out points did not fall")
    _complete(inputs, out_dir)
    before, after = (disagreement(inputs.scene.views, folder) for folder in (inputs.before_dir, out_dir))
    result = replace(result, apart_before=before, apart_after=after)
    if before is not None and after is not None and after > _FARTHER_APART * before:
        return replace(result, reason="where photos decide nothing, the views disagree more than before")
    return replace(result, adapted=True)


def _too_slow(steps: int, seconds: float) -> str:
    return f"{steps} steps would take more than half as long as all stages before ({seconds:.0f} s); --adapt on insists"


def _with_learnt(result: AdaptationResult, learnt: Learnt) -> AdaptationResult:
    return replace(
        result,
        steps=learnt.steps,
        best_step=learnt.best_step,
        aside_before=learnt.error_before,
        aside_after=learnt.error_after,
    )


def _targets(inputs: Inputs, learner: Learner) -> list[Targets]:
    """Targets of some views, evenly spread."""
    views = inputs.scene.views
    sizes = [learner.size(view.camera.height, view.camera.width) for view in views]
    source = TargetSource(inputs.scene, inputs.images_dir, _matched(inputs), ~inputs.held_out, inputs.runtime.seed)
    chosen = views_to_learn(sizes, _MOST_PIXELS)
    targets = [source.of(i, sizes[i]) for i in track(chosen, "reading what is known", len(chosen))]
    return [each for each in targets if each.learnt.any()]


def _matched(inputs: Inputs) -> SceneMaps | None:
    if inputs.mvs_dir is None or MATCHED not in inputs.status.values():
        return None
    return SceneMaps(inputs.mvs_dir, ("depth", "confidence"), SCENE_DEPTH)


def _predict(inputs: Inputs, model: Model, folder: Path) -> None:
    """The depth of every view by the adapted network, where the prediction that came was valid."""
    came, maps = SceneMaps(inputs.prediction_dir, ("depth",)), SceneMaps(folder)
    views, size = [view for view in inputs.scene.views if came.has(view)], model.batch_size
    batches = [views[i : i + size] for i in range(0, len(views), size)]  # the same in a run that was interrupted
    for batch in track(batches, "predicting", len(batches)):
        if all(map(maps.has, batch)):
            continue
        images = [read_rgb(inputs.images_dir / view.name) for view in batch]
        predictions = model.predict_batch(images, inputs.runtime.seed, [view.name for view in batch])
        for view, prediction in zip(batch, predictions, strict=True):
            before = came.load(view)
            assert prediction.depth is not None
            valid = before.required_depth.valid
            meta = {**prediction.meta, "adapted": True}
            maps.save(view, replace(prediction.depth, valid=valid), meta=meta)


def _align(inputs: Inputs, config: AlignmentConfig, out_dir: Path) -> None:
    """Align the new depth to the sparse points that are not held out and to depth that photos agree on."""
    scene = replace(inputs.scene, points=inputs.scene.points.where(~inputs.held_out))
    matched = _matched(inputs)
    if matched is not None:
        scene = with_matched_points(scene, matched)
    into = out_dir / ALIGNED
    into.mkdir(exist_ok=True)
    to_align = alignment.Inputs(scene, out_dir / _WORK / "prediction", inputs.runtime)
    alignment.run(to_align, replace(config, holdout=0.0), into)


def _with_held_out(inputs: Inputs, result: AdaptationResult) -> AdaptationResult:
    """The errors of aligned depth at the held-out points, before and after."""
    before = SceneMaps(inputs.alignment_dir, ("depth",))
    after = SceneMaps(result.folder / ALIGNED, ("depth",))
    rows = []
    pooled: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for index, view in enumerate(inputs.scene.views):
        errors = [_errors(inputs, index, maps) for maps in (before, after)]
        if len(errors[0]) and len(errors[1]):
            for some, error in zip(pooled, errors, strict=True):
                some.append(error)
        figures = [value for error in errors for value in _percentiles(error)]
        rows.append(ViewErrors(view.name, len(errors[1]), *figures))
    medians = [float(np.median(np.concatenate(some))) if some else None for some in pooled]
    return replace(result, held_out_before=medians[0], held_out_after=medians[1], views=tuple(rows))


def _errors(inputs: Inputs, index: int, maps: SceneMaps) -> NDArray[np.float64]:
    """(N,) relative errors of a view's map at its held-out points."""
    view = inputs.scene.views[index]
    if not maps.has(view):
        return np.zeros(0)
    return point_errors(inputs.scene, index, maps.load(view).depth_or_zero, inputs.held_out)[1]


def _percentiles(errors: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Median and 90th percentile; None of nothing."""
    if not len(errors):
        return None, None
    median, p90 = np.percentile(errors, [50, 90]).tolist()
    return median, p90


def _is_worse(result: AdaptationResult) -> bool:
    before, after = result.held_out_before, result.held_out_after
    return before is None or after is None or after > before


def _complete(inputs: Inputs, out_dir: Path) -> None:
    """The final maps: what photos decide stays, the rest is completed by the adapted network."""
    guides, maps = Guides(out_dir / ALIGNED, inputs.prediction_dir), SceneMaps(out_dir)
    before = SceneMaps(inputs.before_dir, ("depth", "confidence"), SCENE_DEPTH)
    views = [view for view in inputs.scene.views if inputs.status.get(view.name) != EXCLUDED]
    for view in track(views, "completing depth", len(views)):
        guide = guides.guide(view)
        if maps.has(view) or (guide.depth is None and not before.has(view)):
            continue
        known = before.load(view) if before.has(view) else None
        depth, confidence = _final(view, guide, known, inputs.status.get(view.name))
        normals, valid = normals_from_depth(depth, depth > 0, view.camera)
        scene_depth = DepthMap(depth, depth > 0, DepthKind.SCENE)
        maps.save(view, scene_depth, confidence, NormalMap(normals, valid), {"adapted": True})


def _final(
    view: View, guide: Guide, before: ViewMaps | None, status: str | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Depth (H, W) and confidence (H, W) of a view whose map was ``before``."""
    if guide.depth is None:
        assert before is not None
        return before.depth_or_zero, before.confidence
    if before is None or before.confidence is None or status != MATCHED:
        highest = FILLED_CONFIDENCE if before is None or before.confidence is None else before.confidence.max()
        return guide.depth, np.where(guide.depth > 0, np.float32(highest), np.float32(0)) if status else None
    decided = before.confidence > FILLED_CONFIDENCE
    depth = before.depth_or_zero
    allowed = guide.allowed & (depth > 0)
    done = complete(depth, decided, view.camera, guide.normals, guide.depth, allowed, _PULL).depth
    return done, np.where(done > 0, before.confidence, np.float32(0))


def _keep_maps(inputs: Inputs, out_dir: Path) -> None:
    """The maps as they were: links to their files, copies where links are not possible."""
    before, maps = SceneMaps(inputs.before_dir), SceneMaps(out_dir)
    for view in inputs.scene.views:
        maps.path(view).unlink(missing_ok=True)
        if before.has(view):
            maps.path(view).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(before.path(view), maps.path(view))
            except OSError:
                shutil.copyfile(before.path(view), maps.path(view))
