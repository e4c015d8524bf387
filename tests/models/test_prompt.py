"""The cache of the empty prompt's embedding."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.models.lotus import prompt


def _files(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "lotus_recon").rglob("*") if path.is_file())


def test_computed_once_per_text_encoder(
    depth_d: Path, normal_d: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded, unpadded = prompt.empty_prompt(depth_d)
    assert padded.shape == (1, 77, 32)
    assert unpadded.shape == (1, 2, 32)
    # CLIP's attention is causal: the first two tokens do not know whether padding follows.
    np.testing.assert_allclose(padded[:, :2], unpadded, atol=1e-5)
    assert len(_files(own_cache)) == 1

    def refuse(folder: Path) -> prompt.Embeddings:
        raise AssertionError(f"computed again for {folder}")

    monkeypatch.setattr(prompt, "_computed", refuse)
    again = prompt.empty_prompt(normal_d)  # another checkpoint with the same text encoder
    np.testing.assert_array_equal(again[0], padded)
    np.testing.assert_array_equal(again[1], unpadded)


def test_another_text_encoder_is_another_entry(depth_d: Path, shared: Path, own_cache: Path) -> None:
    ours, _ = prompt.empty_prompt(depth_d)
    theirs, _ = prompt.empty_prompt(shared / "parity" / "tiny-lotus-depth-g")
    assert np.abs(ours - theirs).max() > 1e-3
    assert len(_files(own_cache)) == 2


def test_broken_entry_is_computed_again(depth_d: Path, own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = prompt.empty_prompt(depth_d)
    path = _files(own_cache)[0]
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(prompt.empty_prompt(depth_d)[0], expected[0])
    assert "is broken and computed again" in caplog.text
    assert prompt._cached(path) is not None


def test_cache_that_cannot_be_written_is_no_obstacle(
    depth_d: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prompt.empty_prompt(depth_d)
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(blocked / "below"))
    np.testing.assert_array_equal(prompt.empty_prompt(depth_d)[1], expected[1])


def test_writers_at_the_same_time(depth_d: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All miss the cache, all write the same entry at once; readers meanwhile see a whole entry or none."""
    everyone = threading.Barrier(4)
    real = prompt._computed

    def computed(folder: Path) -> prompt.Embeddings:
        result = real(folder)
        everyone.wait(timeout=60)
        return result

    monkeypatch.setattr(prompt, "_computed", computed)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(prompt.empty_prompt, [depth_d] * 4))
    files = _files(own_cache)
    assert len(files) == 1  # and no temporary file left behind
    stored = prompt._cached(files[0])
    assert stored is not None
    for result in results:
        np.testing.assert_array_equal(result[0], stored[0])


def test_nothing_is_written_beside_the_checkpoint(depth_d: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(depth_d, folder)
    before = sorted(folder.rglob("*"))
    prompt.empty_prompt(folder)
    assert sorted(folder.rglob("*")) == before
