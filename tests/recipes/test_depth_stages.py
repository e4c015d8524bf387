"""Alignment, integration and consistency in a row on the analytic scene: the numbers stay what they were.

They were written down when every stage held the maps of all views in memory at once; those of the integration, and
view 0 after it, when its linear systems had been solved to 3e-8 by another solver, which had left a
dozen pixels of view 1, that hang on next to nothing, where they were at the usual tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.alignment import stage as alignment
from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.results import AlignmentResult
from lotus_recon.config import Runtime
from lotus_recon.consistency import stage as consistency
from lotus_recon.consistency.config import ConsistencyConfig
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.scene_maps import SceneMaps
from lotus_recon.normal_integration import stage as integration
from lotus_recon.normal_integration.config import NormalIntegrationConfig
from lotus_recon.types import DepthKind, DepthMap, NormalMap
from tests.alignment.analytic import Truth, make_scene

SCALES = (0.47703802836, 0.40825256466, 0.80458579860, 1.97817729397, 0.40384948336, 0.78542204367)
SHIFTS = (-0.20484317663, -0.01304911462, -0.34238471693, -0.78001647721, -0.07388577130, -0.04916687217)
HELD_OUT_P90 = (0.00886921539, 0.00820680719, 0.00886573262, 0.00809702197, 0.00862286625)
ALIGNED = (4.36328224768, 4.28201550103, 4.24258060268, 4.24471712777, 4.28727635190, 4.36630848766)
INTEGRATED = (4.36237944546, 4.27998930950, 4.24270902505, 4.24483675378, 4.28756940471, 4.36666261964)
CONFIRMED = (0.84604779412, 0.92861519608, 0.88128063725, 0.92049632353, 0.92570465686, 0.84390318627)
CONTRADICTED = (0.00965073529, 0.00413602941, 0.04764093137, 0.00888480392, 0.00260416667, 0.00827205882)
CONFIDENCE = (0.74660848260, 0.79361964805, 0.79073111378, 0.80558843469, 0.79233077714, 0.74659173453)


@dataclass(frozen=True)
class Run:
    """What the stages gave, in folders of their names."""

    root: Path
    truth: Truth
    alignment: AlignmentResult
    integration: integration.IntegratedViews
    consistency: consistency.ConsistencyResult

    def means(self, stage: str, confidence: bool = False) -> list[float]:
        """Per view the mean of the valid depth, or of its confidence."""
        means = []
        for view in self.truth.scene.views:
            maps = SceneMaps(self.root / stage).load(view)
            values = maps.weight if confidence else maps.depth_or_zero
            means.append(float(values[maps.required_depth.valid].astype(np.float64).mean()))
        return means


def predict(truth: Truth, folder: Path) -> None:
    """Disparity with a scale and a shift per view and a smooth error of 3 %, and true normals."""
    rng, maps = np.random.default_rng(7), SceneMaps(folder)
    for index, (view, depth) in enumerate(zip(truth.scene.views, truth.depths, strict=True)):
        scale, shift = rng.uniform(0.5, 3), rng.uniform(-0.1, 0.5)
        wave = np.sin(np.arange(96) / 15 + index) * np.cos(np.arange(72) / 20)[:, None]
        values = scale / (depth * (1 + 0.03 * wave)) + shift
        valid = np.ones(values.shape, bool)
        valid[:4] = False
        normals, known = normals_from_depth(depth, valid, view.camera)
        disparity = DepthMap(values.astype(np.float32), valid, DepthKind.AFFINE_DISPARITY)
        maps.save(view, disparity, normals=NormalMap(normals.astype(np.float32), known))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("analytic")
    truth = make_scene(views=6, points=360, noise_px=0.5, blind=(2,))
    predict(truth, root / "predicted")
    scene, runtime = truth.scene, Runtime(device="cpu")
    for name in ("aligned", "integrated", "checked"):
        (root / name).mkdir()
    scored = np.arange(len(scene.points.xyz)) % 4 == 0
    aligned = alignment.run(alignment.Inputs(scene, root / "predicted", runtime), AlignmentConfig(), root / "aligned")
    integrated = integration.run(
        integration.Inputs(scene, root / "aligned", root / "predicted", scored, runtime),
        NormalIntegrationConfig(),
        root / "integrated",
    )
    checked = consistency.run(
        consistency.Inputs(scene, root / "integrated", runtime), ConsistencyConfig(), root / "checked"
    )
    return Run(root, truth, aligned, integrated, checked)


def test_alignment(done: Run) -> None:
    views = done.alignment.views
    assert [view.status for view in views] == ["points", "points", "overlap", "points", "points", "points"]
    assert [view.scale for view in views] == pytest.approx(SCALES, rel=1e-7)
    assert [view.shift for view in views] == pytest.approx(SHIFTS, rel=1e-7)
    assert views[2].p90_after is None
    assert [view.p90_after for view in views if view.p90_after is not None] == pytest.approx(HELD_OUT_P90, rel=1e-5)
    assert done.means("aligned") == pytest.approx(ALIGNED, rel=1e-7)


def test_integration(done: Run) -> None:
    assert done.integration.integration_scale == 0.003
    assert [view.rounds for view in done.integration.views] == [3, 3, 3, 3, 3, 3]
    assert done.means("integrated") == pytest.approx(INTEGRATED, rel=1e-5)  # as exact as its linear solver


def test_consistency(done: Run) -> None:
    assert done.consistency.agreement == pytest.approx(0.00737711477, rel=1e-3)
    assert [view.confirmed for view in done.consistency.views] == pytest.approx(CONFIRMED, abs=5e-4)
    assert [view.contradicted for view in done.consistency.views] == pytest.approx(CONTRADICTED, abs=5e-4)
    assert done.means("checked", confidence=True) == pytest.approx(CONFIDENCE, rel=1e-3)


def test_nothing_but_maps_and_reports_is_left(done: Run) -> None:
    stems = {f"{view.stem}.npz" for view in done.truth.scene.views}
    for folder, report in (("aligned", "alignment"), ("integrated", "integration"), ("checked", "consistency")):
        assert {path.name for path in (done.root / folder).iterdir()} == stems | {f"{report}.json"}
