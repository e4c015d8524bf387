"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pipelines.command_line  # noqa: F401  sets how threads wait, as in every run of a user

SHARED = Path(os.environ.get("LOTUS_RECON_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and official outputs beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: nothing to compare with")
    return SHARED
