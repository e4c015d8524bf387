"""Where the cache is, and that a user without a home folder needs none."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from lotus_recon.cache import cache_folder
from lotus_recon.native import Outcome, recall, remember


def test_without_a_home_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("LOTUS_RECON_CACHE", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache_folder() == Path(os.devnull)
    remember({"import": "of this test"}, Outcome(None))  # kept in this process only


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path))
    remember({"import": "of that test"}, Outcome(None))
    assert recall({"import": "of that test"}) == Outcome(None)
    assert list(tmp_path.rglob("*.json"))
