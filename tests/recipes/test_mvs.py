"""Multi-view stereo as part of the recipe: photos with texture, poses, and predictions that are bent."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.models.config import PredictionConfig
from lotus_recon.mvs.config import MvsConfig
from lotus_recon.mvs.spec import MVS
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.multi_view import check_job
from lotus_recon.recipes.table import MULTI_VIEW
from lotus_recon.renamed import warn_of_old_name
from lotus_recon.reporting.spec import REPORT
from lotus_recon.stages import Context, reads_of, stages_of
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction
from lotus_recon.workspace import Workspace
from pipelines.multi_view import run
from tests.alignment.analytic import BALLS, FLOOR_Y, WALL_Z
from tests.mvs.scenes import bent, gray_of, views, write_photo


def write_scene(root: Path, with_normals: bool = False) -> list[str]:
    """The command line of a scene with five photos and bent depth, known up to scale and shift."""
    seen = [replace(view, camera=view.camera.resized(320, 240)) for view in views(5, step=0.5)]
    frames = []
    for view in seen:
        path = root / "photos" / view.name
        write_photo(path, gray_of(view))
        frames.append(Frame(path, view))
        values = (0.3 * bent(view, 0.15) - 0.2).astype(np.float32)
        depth = DepthMap(values, np.ones(values.shape, bool), DepthKind.AFFINE)
        normals = NormalMap(*normals_from_depth(bent(view, 0.15), depth.valid, view.camera)) if with_normals else None
        save_prediction(root / "maps" / f"{view.stem}.npz", Prediction(depth, normals))
    write_transforms(frames, root / "transforms.json")
    stored = ["--model", "precomputed", "--predictions", str(root / "maps"), "--poses", str(root / "transforms.json")]
    return [str(root / "photos"), *stored, "--quiet"]


def distance_to_truth(mesh: Path) -> np.ndarray:
    """Distance of the vertices to the nearest of the analytic surfaces."""
    vertices = read_mesh(mesh).vertices.astype(np.float64)
    surfaces = [np.abs(vertices[:, 1] - FLOOR_Y), np.abs(vertices[:, 2] - WALL_Z)]
    surfaces += [np.abs(np.linalg.norm(vertices - middle, axis=1) - radius) for middle, radius in BALLS]
    return np.min(surfaces, axis=0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The command line of a scene, and the folder where it was run once."""
    folder = tmp_path_factory.mktemp("scene")
    command = write_scene(folder)
    assert run([*command, "--out", str(folder / "out")]) == 0
    return command, folder / "out"


@pytest.mark.slow
def test_the_mesh_is_nearer_to_the_truth_than_without(finished: tuple[list[str], Path], tmp_path: Path) -> None:
    command, stereo_out = finished
    assert run([*command, "--out", str(tmp_path), "--no-mvs"]) == 0
    stereo, plain = (distance_to_truth(out / "mesh/mesh.ply") for out in (stereo_out, tmp_path))
    assert np.median(stereo) < 0.3 * np.median(plain)
    assert not (tmp_path / "mvs").exists()
    report = json.loads((stereo_out / "report/report.json").read_text())
    assert [row["status"] for row in report["figures"]["stereo of each view"]] == ["matched"] * 5
    assert {"stereo depth", "photo agreement", "change", "error at points"} <= set(report["views"][0]["images"])


@pytest.mark.slow
def test_a_mesh_of_what_the_photos_are_sure_of_has_less_surface(
    finished: tuple[list[str], Path], tmp_path: Path
) -> None:
    command, out = finished
    shutil.copytree(out, tmp_path / "out")
    assert run([*command, "--out", str(tmp_path / "out"), "--min-confidence", "0.5"]) == 0
    whole, sure = (read_mesh(folder / "mesh/mesh.ply") for folder in (out, tmp_path / "out"))
    before, after = (json.loads((folder / "mesh/mesh.json").read_text()) for folder in (out, tmp_path / "out"))
    assert 0.5 < before["seen_ratio"] < 1
    assert after["seen_ratio"] == 1
    assert after["area"] == pytest.approx(before["seen_ratio"] * before["area"], rel=0.05)
    assert whole.confidence is not None
    assert whole.confidence.min() < 0.5
    assert sure.confidence is not None
    assert sure.confidence.min() >= 0.5


def test_the_old_flag_works_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_old_name.cache_clear()
    with caplog.at_level(logging.WARNING, "lotus_recon"):
        assert run([*write_scene(tmp_path), "--out", str(tmp_path / "out"), "--no-refine", "--only", "sfm"]) == 0
    assert "--refine is now --mvs" in caplog.text
    assert "mvs: false" in (tmp_path / "out/config.yaml").read_text()


@pytest.mark.parametrize(
    ("mvs", "align", "expected"),
    [(True, "auto", "mvs"), (False, "auto", "alignment"), (True, "none", "alignment")],
)
def test_what_is_checked_and_fused(mvs: bool, align: str, expected: str, tmp_path: Path) -> None:
    write_scene(tmp_path)
    for path in (tmp_path / "maps").iterdir():
        depth = DepthMap(np.ones((240, 320), np.float32), np.ones((240, 320), bool), DepthKind.METRIC)
        save_prediction(path, Prediction(depth, None))
    config = MultiViewConfig(
        prediction=PredictionConfig(model="precomputed", predictions=tmp_path / "maps"),
        alignment=AlignmentConfig(align=align),  # type: ignore[arg-type]
        mvs=MvsConfig(mvs=mvs),
    )
    config = replace(config, sfm=replace(config.sfm, poses=tmp_path / "transforms.json", pose_unit="m"))
    job = check_job(tmp_path / "photos", config, tmp_path / "out")
    context = Context(Workspace(tmp_path / "out"), job, stages_of(MULTI_VIEW, job))
    assert context.first_of(INTEGRATION, MVS, ALIGNMENT).name == expected
    assert context.has(MVS) == (expected == "mvs")
    assert (MVS in reads_of(CONSISTENCY, context.stages)) == (expected == "mvs")
    assert (MVS in reads_of(REPORT, context.stages)) == (expected == "mvs")
