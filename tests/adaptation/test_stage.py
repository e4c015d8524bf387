"""The stage on photos of an analytic scene, as bright as their surface is near: what it learns, refuses, and leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lotus_recon.adaptation import stage
from lotus_recon.adaptation.config import AdaptationConfig, AdvancedAdaptation
from lotus_recon.adaptation.matched_points import with_matched_points
from lotus_recon.adaptation.results import AdaptationResult
from lotus_recon.adaptation.stage import Inputs
from lotus_recon.alignment import stage as alignment
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.control_points import held_out_points
from lotus_recon.config import Runtime
from lotus_recon.io.maps import load_arrays
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.models.base import Model, ModelOptions
from lotus_recon.mvs import completion
from lotus_recon.types import BoolArray, DepthKind, DepthMap, FloatArray, Prediction, Scene, SparsePoints
from tests.adaptation.toys import ToyLearner, smooth_field
from tests.alignment.analytic import make_scene, true_depth
from tests.mvs.scenes import write_photo

CONFIG = AdaptationConfig("on", 160, AdvancedAdaptation(step_size=0.01, photos_per_step=4))
ALIGNMENT = AlignmentConfig(holdout_strict=True)
NEAREST = 2.0


class ToyModel(ToyLearner):
    """A learner that also predicts."""

    name, tasks, batch_size = "toy", ("depth",), 2

    def size(self, height: int, width: int) -> tuple[int, int]:
        """See ``Learner``."""
        return height, width

    def predict(self, rgb: NDArray[np.uint8], seed: int | None = None, view: str | None = None) -> Prediction:
        """See ``Model``."""
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
        values = self.values(pixels)[0].detach().numpy()
        return Prediction(DepthMap(values, np.ones(values.shape, bool), self.kind), None)

    def predict_batch(
        self, images: Sequence[NDArray[np.uint8]], seed: int | None = None, views: Sequence[str] | None = None
    ) -> list[Prediction]:
        """See ``Model``."""
        return [self.predict(image) for image in images]

    def model(self) -> Model:
        """See ``Learner``."""
        return self

    def save(self, folder: Path) -> None:
        """See ``Learner``."""
        folder.mkdir()
        np.save(folder / "field.npy", self.field.detach().numpy())


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    """Six photos, bent predictions, their alignment, and depth that photos decide at a quarter of the pixels."""
    monkeypatch.setattr(stage, "learner_of", lambda *_: ToyModel(smooth_field()))
    monkeypatch.setattr(stage, "why_not", lambda *_: "")
    scene = make_scene(points=600).scene
    came = ToyModel(smooth_field())
    for number, view in enumerate(scene.views):
        truth = true_depth(view)
        gray = NEAREST / truth
        write_photo(tmp_path / "images" / view.name, gray)
        rgb = np.repeat(np.round(255 * gray).astype(np.uint8)[..., None], 3, axis=2)
        SceneMaps(tmp_path / "prediction").save(view, came.predict(rgb).depth)
        matched = np.indices(truth.shape)[1] % 8 < 2
        depth = truth * np.where(matched, 1, np.exp(0.2 * np.sin(number + np.indices(truth.shape)[0] / 9)))
        confidence = np.where(matched, 1.0, 0.02).astype(np.float32)
        known = DepthMap(depth.astype(np.float32), np.ones(truth.shape, bool), DepthKind.SCENE)
        SceneMaps(tmp_path / "mvs").save(view, known, confidence)
    runtime = Runtime(device="cpu")
    (tmp_path / "alignment").mkdir()
    alignment.run(alignment.Inputs(scene, tmp_path / "prediction", runtime), ALIGNMENT, tmp_path / "alignment")
    return Inputs(
        scene=scene,
        images_dir=tmp_path / "images",
        prediction_dir=tmp_path / "prediction",
        alignment_dir=tmp_path / "alignment",
        mvs_dir=tmp_path / "mvs",
        status={view.name: "matched" for view in scene.views},
        held_out=held_out_points(scene, ALIGNMENT.holdout, 0),
        model="toy",
        model_options=ModelOptions(),
        runtime=runtime,
        seconds_before=0.0,
    )


def run(inputs: Inputs, out: Path, config: AdaptationConfig = CONFIG) -> AdaptationResult:
    out.mkdir(exist_ok=True)
    return stage.run(inputs, config, ALIGNMENT, out)


def error(scene: Scene, folder: Path) -> float:
    """Mean relative error of all depth of the maps in a folder."""
    errors = []
    for view in scene.views:
        maps = load_arrays(folder / f"{view.stem}.npz")
        errors.append(np.abs(maps["depth"] / true_depth(view) - 1)[maps["depth_valid"]])
    return float(np.concatenate(errors).mean())


def test_depth_is_better_where_nothing_is_matched(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(inputs, out)
    assert result.adapted, result.reason
    assert (result.photos, result.frozen) == (6, "nothing")
    assert error(inputs.scene, out / "aligned") < 0.5 * error(inputs.scene, inputs.alignment_dir)
    assert error(inputs.scene, out) < 0.3 * error(inputs.scene, tmp_path / "mvs")
    assert result.held_out_after is not None
    assert result.held_out_before is not None
    assert result.held_out_after <= result.held_out_before
    assert (out / "model/field.npy").is_file()
    assert not (out / "work").exists()
    for view in inputs.scene.views:  # what photos decide stays
        before, after = (load_arrays(folder / f"{view.stem}.npz") for folder in (tmp_path / "mvs", out))
        decided = before["confidence"] > 0.02
        np.testing.assert_allclose(after["depth"][decided], before["depth"][decided], rtol=1e-4)
        np.testing.assert_array_equal(after["confidence"], before["confidence"])
    assert AdaptationResult.load(out) == result


def test_wrong_depth_is_refused_and_the_maps_stay(inputs: Inputs, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for view in inputs.scene.views:
        stored = load_arrays(tmp_path / "mvs" / f"{view.stem}.npz")
        noise = (stored["depth"] * np.exp(rng.standard_normal(stored["depth"].shape))).astype(np.float32)
        SceneMaps(tmp_path / "mvs").save(view, DepthMap(noise, noise > 0, DepthKind.SCENE), stored["confidence"])
    out = tmp_path / "out"
    result = run(inputs, out)
    assert not result.adapted
    assert "did not fall" in result.reason
    assert not (out / "model").exists()
    assert not (out / "aligned").exists()
    for view in inputs.scene.views:
        assert (out / f"{view.stem}.npz").read_bytes() == (tmp_path / "mvs" / f"{view.stem}.npz").read_bytes()


def test_worse_held_out_points_are_a_reason_to_refuse(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The points kept aside get better, the held-out ones do not: here because these are all wrong."""
    points = inputs.scene.points
    xyz = points.xyz.copy()
    xyz[inputs.held_out] *= 1.03
    came = SceneMaps(inputs.alignment_dir)
    wrong = replace(inputs, scene=replace(inputs.scene, points=replace(points, xyz=xyz)))
    for view in wrong.scene.views:  # aligned maps that agree with them
        depth = (1.03 * true_depth(view)).astype(np.float32)
        came.save(view, DepthMap(depth, depth > 0, DepthKind.SCENE))
    result = run(wrong, tmp_path / "out")
    assert not result.adapted
    assert "held-out" in result.reason


def test_views_that_disagree_more_than_before_are_a_reason_to_refuse(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is known gets better; what nothing decides is drawn apart: here by a factor that differs by view."""
    factors = iter([0.85, 1.15] * 3)

    def apart(depth: FloatArray, decided: BoolArray, *others: Any) -> completion.Completed:
        done, factor = completion.complete(depth, decided, *others), next(factors)
        return replace(done, depth=np.where(decided, done.depth, factor * done.depth).astype(np.float32))

    for view in inputs.scene.views:  # nearly right before
        depth = true_depth(view).astype(np.float32)
        confidence = load_arrays(tmp_path / "mvs" / f"{view.stem}.npz")["confidence"]
        SceneMaps(tmp_path / "mvs").save(view, DepthMap(depth, depth > 0, DepthKind.SCENE), confidence)
    monkeypatch.setattr(stage, "complete", apart)
    result = run(inputs, tmp_path / "out")
    assert not result.adapted
    assert "disagree" in result.reason
    assert result.apart_before is not None
    assert result.apart_after is not None
    assert result.apart_after > 3 * result.apart_before
    assert error(inputs.scene, tmp_path / "out") == error(inputs.scene, tmp_path / "mvs")


def test_without_depth_to_learn_from_it_says_so(inputs: Inputs, tmp_path: Path) -> None:
    bare = replace(inputs, scene=replace(inputs.scene, points=SparsePoints.empty()), held_out=np.zeros(0, bool))
    bare = replace(bare, status={name: "no_sources" for name in inputs.status})
    result = run(bare, tmp_path / "out")
    assert not result.adapted
    assert "too few" in result.reason
    assert error(inputs.scene, tmp_path / "out") == error(inputs.scene, tmp_path / "mvs")


def test_without_held_out_points_nothing_tells_whether_it_gets_better(inputs: Inputs, tmp_path: Path) -> None:
    few = np.zeros_like(inputs.held_out)
    few[np.flatnonzero(inputs.held_out)[:9]] = True
    result = run(replace(inputs, held_out=few), tmp_path / "out")
    assert not result.adapted
    assert "9 held-out points" in result.reason
    assert error(inputs.scene, tmp_path / "out") == error(inputs.scene, tmp_path / "mvs")


def test_auto_refuses_what_takes_longer_than_all_before(inputs: Inputs, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "out", replace(CONFIG, adapt="auto"))
    assert not result.adapted
    assert "--adapt on" in result.reason


def test_from_sparse_points_alone_where_there_is_no_stereo(inputs: Inputs, tmp_path: Path) -> None:
    result = run(replace(inputs, mvs_dir=None, status={}), tmp_path / "out")
    assert result.adapted, result.reason
    assert result.matched == 0
    assert result.points > 500
    assert error(inputs.scene, tmp_path / "out") < error(inputs.scene, inputs.alignment_dir)
    assert "confidence" not in load_arrays(tmp_path / "out" / f"{inputs.scene.views[0].stem}.npz")


def test_held_out_points_are_never_learnt_from(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong held-out points change nothing but their own errors."""
    monkeypatch.setattr(stage, "_is_worse", lambda result: False)
    points = inputs.scene.points
    xyz = points.xyz.copy()
    xyz[inputs.held_out] += 0.5
    moved = replace(inputs, scene=replace(inputs.scene, points=replace(points, xyz=xyz)))
    fields: list[FloatArray] = []
    for name, each in (("a", inputs), ("b", moved)):
        run(each, tmp_path / name)
        fields.append(np.load(tmp_path / name / "model/field.npy"))
    np.testing.assert_array_equal(fields[0], fields[1])


def test_matched_pixels_become_points_where_views_agree(inputs: Inputs, tmp_path: Path) -> None:
    scene = replace(inputs.scene, points=SparsePoints.empty())
    found = with_matched_points(scene, SceneMaps(tmp_path / "mvs")).points
    assert len(found.xyz) > 300
    assert found.track_length.min() >= 2
    errors = []
    for index, view in enumerate(scene.views):
        rows = found.rows_of(index)
        col, row = found.obs_xy[rows].astype(int).T
        pose = view.cam_from_world
        z = found.xyz[found.obs_point[rows]] @ pose[2, :3] + pose[2, 3]
        errors.append(np.abs(z / true_depth(view)[row, col] - 1))
    assert np.quantile(np.concatenate(errors), 0.95) < 0.02
