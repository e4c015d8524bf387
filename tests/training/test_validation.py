"""Validation: the choice is fixed, scores are those of the metrics, processes share the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lotus_recon.datasets.samples import Sample
from lotus_recon.training.validation import Choice, choose_samples, score, validate
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction
from tests.training.toys import SIZE, ToySet, ToyTaskModule

EVERYWHERE = np.ones(SIZE, bool)


class Ten(ToySet):
    def __len__(self) -> int:
        return 10


def test_the_choice_is_spread_over_each_set() -> None:
    choices = choose_samples([Ten(), ToySet()], 4)
    assert [choice.index for choice in choices] == [0, 3, 6, 9, 0, 1, 3, 4]
    assert [choice.index for choice in choose_samples([ToySet()], 100)] == [0, 1, 2, 3, 4]
    assert [choice.index for choice in choose_samples([Ten()], 1)] == [0]


def affine(sample: Sample, kind: DepthKind) -> Prediction:
    """The truth in the space of ``kind``, moved by what that leaves open."""
    assert sample.depth is not None
    values: dict[DepthKind, Any] = {
        DepthKind.AFFINE_DISPARITY: 2 / sample.depth + 1,
        DepthKind.AFFINE: 2 * sample.depth + 1,
        DepthKind.SCALE_FREE: 2 * sample.depth,
        DepthKind.METRIC: sample.depth,
    }
    return Prediction(DepthMap(values[kind].astype(np.float32), EVERYWHERE, kind), None)


@pytest.mark.parametrize("kind", [DepthKind.AFFINE_DISPARITY, DepthKind.AFFINE, DepthKind.SCALE_FREE, DepthKind.METRIC])
def test_depth_is_aligned_as_its_kind_needs(kind: DepthKind) -> None:
    sample = ToySet().load(0)
    scores = score(affine(sample, kind), sample)
    assert scores["depth/abs_rel"] == pytest.approx(0, abs=1e-6)
    assert scores["depth/delta1"] == 1
    assert not any(name.startswith("normal") for name in scores)


def test_normals_are_scored_in_degrees() -> None:
    tilted = np.array([0, np.sin(np.radians(10)), -np.cos(np.radians(10))], np.float32)
    normals = NormalMap(np.broadcast_to(tilted, (*SIZE, 3)).copy(), EVERYWHERE)
    assert score(Prediction(None, normals), ToySet().load(0))["normal/mean"] == pytest.approx(10, abs=1e-3)


def test_a_map_without_truth_has_no_score() -> None:
    sample = replace(ToySet().load(0), normals=None, normals_valid=None)
    normals = NormalMap(np.broadcast_to(np.array([0, 0, -1], np.float32), (*SIZE, 3)).copy(), EVERYWHERE)
    prediction = replace(affine(sample, DepthKind.AFFINE), normals=normals)
    assert set(name.split("/")[0] for name in score(prediction, sample)) == {"depth"}


def test_scores_are_means_over_the_samples() -> None:
    module = ToyTaskModule(torch.device("cpu"))
    choices = choose_samples([ToySet()], 5)
    one_by_one = [validate(module, [choice]).scores["depth/abs_rel"] for choice in choices]
    assert validate(module, choices).scores["depth/abs_rel"] == pytest.approx(np.mean(one_by_one))


@pytest.mark.parametrize("process_count", [2, 3, 7])
def test_processes_share_the_samples(process_count: int) -> None:
    module = ToyTaskModule(torch.device("cpu"))
    choices = choose_samples([ToySet()], 5)
    shares: list[Any] = []

    def send(results: list[Any]) -> list[Any]:
        shares.extend(results)
        return []

    for index in range(1, process_count):
        validate(module, choices, index, process_count, send)
    together = validate(module, choices, 0, process_count, lambda results: [*shares, *results])
    alone = validate(module, choices)
    assert together.scores == alone.scores
    assert np.array_equal(together.image, alone.image)  # type: ignore[arg-type]  # both are there


def test_a_broken_sample_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    module = ToyTaskModule(torch.device("cpu"))
    result = validate(module, choose_samples([ToySet(broken=1)], 5))
    rest = [Choice(ToySet(), index) for index in (0, 2, 3, 4)]
    assert "toy-1 is left out" in caplog.text
    assert result.scores == validate(module, rest).scores


def test_the_network_trains_on_in_its_mode() -> None:
    class Watching(ToyTaskModule):
        modes: list[bool] = []  # noqa: RUF012  one instance only

        def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
            self.modes.append(self.network.training)
            return super().predict(images)

    module = Watching(torch.device("cpu"))
    module.network.train()
    before = torch.random.get_rng_state()
    validate(module, choose_samples([ToySet()], 2))
    assert module.modes == [False, False]
    assert module.network.training
    assert torch.equal(before, torch.random.get_rng_state()), "dropout is off"


def test_image_shows_photo_prediction_and_truth() -> None:
    result = validate(ToyTaskModule(torch.device("cpu")), choose_samples([ToySet()], 2))
    assert result.image is not None
    height, width = result.image.shape[:2]
    assert width > 5 * 300, "photo, two maps, two truths"
    truth = result.image[100, -160]  # normals towards the camera are light blue
    assert truth.tolist() == [128, 128, 255]
    assert height > 2 * 240
    assert validate(ToyTaskModule(torch.device("cpu")), []).image is None
