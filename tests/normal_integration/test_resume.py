"""Integration of normals that is killed continues after its last finished view, in every step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lotus_recon.config import Runtime
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.integration import IntegrationResult
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.normal_integration import guided, stage
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Scene, SparsePoints
from tests.alignment.analytic import true_depth, views_on_arc
from tests.killing import kill_when

ROOT = Path(__file__).resolve().parents[2]
VIEWS = views_on_arc(4)
WITHOUT_NORMALS = 2  # index of a view
_CHILD = """
import sys
from pathlib import Path
from tests.killing import stalled_after
from tests.normal_integration.test_resume import integrate_in

root, out, last = map(Path, sys.argv[1:])
with stalled_after(out / last):
    integrate_in(root, out)
"""


def integrate_in(root: Path, out: Path) -> None:
    """The stage on the maps in ``root``."""
    out.mkdir(exist_ok=True)
    scene = Scene(VIEWS, SparsePoints.empty())
    inputs = stage.Inputs(scene, root / "depth", root / "normals", np.zeros(0, bool), Runtime(device="cpu"))
    stage.run(inputs, NormalIntegrationConfig(consensus_iterations=2), out)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume")
    for i, view in enumerate(VIEWS):
        truth = true_depth(view)
        valid = np.ones(truth.shape, bool)
        noise = 1 + 0.005 * np.random.default_rng(i).standard_normal(truth.shape)
        SceneMaps(root / "depth").save(view, DepthMap((truth * noise).astype(np.float32), valid, DepthKind.SCENE))
        normals, known = normals_from_depth(truth, valid, view.camera)
        if i != WITHOUT_NORMALS:
            SceneMaps(root / "normals").save(view, normals=NormalMap(normals, known))
    integrate_in(root, root / "undisturbed")
    return root


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("file", "integrations"),
    [
        pytest.param("work/scale.json", 3, marks=pytest.mark.slow),
        ("work/integrated/01.npz", 1),
        pytest.param("work/consensus_1/01.npz", 0, marks=pytest.mark.slow),
        pytest.param("work/consensus_2/00.npz", 0, marks=pytest.mark.slow),
        pytest.param("01.npz", 0, marks=pytest.mark.slow),
    ],
)
def test_killed_and_run_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, integrations: int
) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(root), str(out), file], cwd=ROOT)
    kill_when(child, (out / file).exists)
    written = {path: path.stat().st_mtime_ns for path in (out / file).parent.glob("*.npz")}
    assert len(written) < len(VIEWS), "half done"
    integrated: list[str] = []
    integrate = guided.GuidedView.integrated

    def counted(self: guided.GuidedView, *args: Any) -> IntegrationResult:
        integrated.append(self.view.name)
        return integrate(self, *args)

    monkeypatch.setattr(guided.GuidedView, "integrated", counted)
    integrate_in(root, out)
    assert len(integrated) == integrations
    assert contents(out) == contents(root / "undisturbed")
