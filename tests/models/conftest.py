"""Toy checkpoints, a cache of their own, and no way to the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from tests.models.toys import write_checkpoint


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toys are too small for threads, which on a busy machine wait for one another 20 times longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both caches in a temporary folder; every call to the Hub fails as it does without a network."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(folder / "lotus_recon"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))

    def refuse(*_: Any, **__: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network in tests")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    return folder


@pytest.fixture(scope="session")
def depth_d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A discriminative checkpoint whose folder has the name of a released depth checkpoint."""
    return write_checkpoint(tmp_path_factory.mktemp("d") / "lotus-depth-d-v2-0-disparity", seed=1)


@pytest.fixture(scope="session")
def normal_d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A normal checkpoint with the same VAE as ``depth_d``."""
    return write_checkpoint(tmp_path_factory.mktemp("n") / "lotus-normal-d-v1-1", seed=2)


@pytest.fixture(scope="session")
def depth_g(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generative checkpoint in a folder of unknown name."""
    return write_checkpoint(tmp_path_factory.mktemp("g") / "toy", in_channels=8, seed=3, vae_seed=4)
