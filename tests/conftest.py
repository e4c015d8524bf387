"""Fixtures of the whole suite, and how it shares a machine between workers (make test: pytest-xdist)."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import psutil
import pytest

import pipelines.command_line  # noqa: F401  sets how threads wait, as in every run of a user
from tests.crashes import (  # noqa: F401  hooks
    pytest_configure,
    pytest_configure_node,
    pytest_testnodedown,
    pytest_unconfigure,
)

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:
    # Read by numerical libraries when they are loaded, which is later; processes that tests start have it from here.
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, str(max(1, _CORES // _WORKERS)))

# What the suite learns of this machine (native libraries that work, compiled loops, how long stages take) is its own.
os.environ.setdefault("LOTUS_RECON_CACHE", str(Path(__file__).resolve().parents[1] / ".pytest_cache/lotus_recon"))

# Power does not fail while tests run, and a disk that writes for others too makes them wait.
os.fsync = lambda fd: None

SHARED = Path(os.environ.get("LOTUS_RECON_SHARED", Path(__file__).resolve().parents[2] / "shared"))
_WORKER_GB = 2.0  # peak of a worker and of what its tests start
_MOST_WORKERS = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers that `-n auto` stands for: as many as there are cores, and memory for."""
    chosen = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    if chosen:
        return int(chosen)
    by_memory = int(psutil.virtual_memory().available / (_WORKER_GB * 1e9))
    return max(1, min(_CORES, by_memory, _MOST_WORKERS))


@pytest.fixture(scope="module", autouse=True)
def _old_objects_are_not_garbage() -> None:
    """Stages collect garbage when they end: among all that a worker has imported by then, that would take a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and official outputs beside the checkout; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: nothing to compare with")
    return SHARED
