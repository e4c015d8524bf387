"""Alignment that is killed continues after what it finished, and comes to the same maps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.alignment import stage
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.solve import Solution, solve
from lotus_recon.config import Runtime
from lotus_recon.types import DepthKind
from lotus_recon.workspace import remove_unfinished
from tests.alignment.analytic import make_scene
from tests.alignment.test_stage import predict
from tests.killing import kill_when

ROOT = Path(__file__).resolve().parents[2]
COUNT = 5
# In a process of its own, which stops for ever after it has written a certain file.
_CHILD = """
import sys
from pathlib import Path
from tests.alignment.test_resume import align_in
from tests.killing import stalled_after

root, out, last = map(Path, sys.argv[1:])
with stalled_after(out / last):
    align_in(root, out)
"""


def align_in(root: Path, out: Path) -> None:
    """The stage on the predictions in ``root``."""
    out.mkdir(exist_ok=True)
    truth = make_scene(views=COUNT, points=300, noise_px=0.5)
    config = AlignmentConfig(far_percentile=95.0)
    stage.run(stage.Inputs(truth.scene, root / "predicted", Runtime(device="cpu")), config, out)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume")
    truth = make_scene(views=COUNT, points=300, noise_px=0.5)
    predict(truth, root / "predicted", DepthKind.AFFINE_DISPARITY, bend=0.02)
    align_in(root, root / "undisturbed")
    return root


def contents(out: Path) -> dict[str, bytes]:
    remove_unfinished(out)  # a file that was being written when it was killed; the workspace does so after a stage
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def killed_when_there(root: Path, out: Path, file: str) -> None:
    """Start the stage in a process of its own and kill -9 it when ``file`` is there."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(root), str(out), file], cwd=ROOT)
    kill_when(child, (out / file).exists)


@pytest.mark.parametrize(
    ("file", "maps", "solves"),
    [
        pytest.param("work/held_out.json", 0, 1, marks=pytest.mark.slow),
        pytest.param("alignment.json", 0, 0, marks=pytest.mark.slow),
        ("00.npz", 1, 0),
    ],
)
def test_killed_and_run_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, maps: int, solves: int
) -> None:
    out = tmp_path / "out"
    killed_when_there(root, out, file)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    assert maps <= len(written) < COUNT  # other threads write meanwhile
    assert len(list((out / "work/kind").glob("*.npy"))) == COUNT
    solved = []

    def counted(*args: Any) -> Solution:
        solved.append(args)
        return solve(*args)

    monkeypatch.setattr(stage, "solve", counted)
    align_in(root, out)
    assert len(solved) == solves
    assert {path: path.stat().st_mtime_ns for path in written} == written, "finished maps are not written again"
    assert contents(out) == contents(root / "undisturbed")
