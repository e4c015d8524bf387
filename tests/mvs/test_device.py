"""The search on CUDA, without a GPU: its kernels are interpreted on the CPU, and compiled for a GPU but not run."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lotus_recon.mvs import device_choice, passes, stage
from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
from lotus_recon.mvs.device_choice import search_device
from lotus_recon.mvs.search import search
from lotus_recon.types import Scene, SparsePoints
from tests.mvs.scenes import OnDisk, views, write

ROOT = Path(__file__).resolve().parents[2]
_TRITON = tuple(int(part) for part in version("triton").split(".")[:2]) if find_spec("triton") else (0, 0)
needs_triton = pytest.mark.skipif(not any(_TRITON), reason="Triton is not installed (290 MB): pip install -e '.[gpu]'")
needs_interpreter = pytest.mark.skipif(
    _TRITON < (3, 9), reason="kernels are not interpreted: Triton before 3.9 cannot with NumPy 2.4"
)


def passed(cases: str, **environment: str) -> int:
    """How many cases of a file passed, all of them, in a process of its own: Triton is set up when it is imported."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/mvs/{cases}.py"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    count = re.search(r"(\d+) passed in", run.stdout)
    assert count, run.stdout
    return int(count[1])


@needs_triton
@needs_interpreter
@pytest.mark.slow
def test_interpreted_kernels_agree_with_the_compiled_search() -> None:
    assert passed("device_cases", TRITON_INTERPRET="1") == 13


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    """The interpreter accepts more than the compiler does."""
    assert passed("device_compilation", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path)) == 2


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The only device; Triton is new, and works."""
    device = torch.device("cuda")
    monkeypatch.setattr(device_choice, "pick_device", lambda name: device)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.3.0"))
    module = SimpleNamespace(check_device=lambda device: None)
    monkeypatch.setitem(sys.modules, "lotus_recon.mvs.device_search", module)
    return device


def test_cuda_is_used_where_triton_works(cuda: torch.device, caplog: pytest.LogCaptureFixture) -> None:
    assert search_device("auto") == cuda
    assert not caplog.records


def no_compiler(device: torch.device) -> None:
    raise RuntimeError("Failed to find C compiler")


@pytest.mark.parametrize(
    ("module", "stand_in", "problem"),
    [
        ("triton", None, "Triton cannot be imported"),
        ("triton", SimpleNamespace(__version__="3.2.0+cu124"), "Triton 3.2.0+cu124 is too old; 3.3 or later is needed"),
        ("lotus_recon.mvs.device_search", SimpleNamespace(check_device=no_compiler), "Failed to find C compiler"),
    ],
)
def test_one_warning_and_the_cpu_where_it_does_not(
    cuda: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    stand_in: Any,
    problem: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, stand_in)
    with caplog.at_level(logging.WARNING):
        assert search_device("auto") is None
    assert len(caplog.records) == 1
    assert problem in caplog.text


def test_without_cuda_triton_is_not_even_imported() -> None:
    code = (
        "import sys; from lotus_recon.mvs import stage; from lotus_recon.mvs.device_choice import search_device; "
        "assert search_device('cpu') is None; assert 'triton' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_pass_of_the_stage_searches_on_the_device_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tuple(replace(view, camera=view.camera.resized(40, 30)) for view in views(3))
    write(tmp_path, seen)
    device, names, devices = torch.device("cuda"), [], []

    def choose(name: str) -> torch.device:
        names.append(name)
        return device

    def on_cpu(*arguments: Any) -> Any:
        devices.append(arguments[-1])
        return search(*arguments[:-1])

    monkeypatch.setattr(stage, "search_device", choose)
    monkeypatch.setattr(passes, "search", on_cpu)
    config = MvsConfig(advanced=AdvancedMvs(sources=2, passes=2))
    stage.run(OnDisk(Scene(seen, SparsePoints.empty()), tmp_path).inputs(), config, tmp_path / "out")
    assert names == ["cpu"]
    assert devices == [device] * 6
