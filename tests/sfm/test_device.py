"""Where features are found: on CUDA only with a build of pycolmap that has it, in a run that may use it."""

from __future__ import annotations

import pytest
import torch

from lotus_recon.colmap import pycolmap
from lotus_recon.config import Runtime
from lotus_recon.sfm import features
from lotus_recon.sfm.config import SfmConfig


@pytest.mark.parametrize(
    ("has_cuda", "has_card", "runtime", "expected"),
    [
        (True, True, Runtime(), "cuda"),
        (True, True, Runtime(device="cuda:1"), "cuda"),
        (True, True, Runtime(device="cpu"), "cpu"),
        (True, True, Runtime(deterministic=True), "cpu"),
        (True, False, Runtime(), "cpu"),
        (False, True, Runtime(), "cpu"),
    ],
)
def test_features_are_found_on_cuda_where_that_can_be(
    has_cuda: bool, has_card: bool, runtime: Runtime, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pycolmap, "has_cuda", has_cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_card)
    assert features.sift_device(runtime).name == expected
    assert features._extraction_options(SfmConfig(), runtime, 1.0).use_gpu == (expected == "cuda")
