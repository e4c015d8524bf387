"""Refinement as part of the recipe: photos with texture, poses, and predictions that are bent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lotus_recon.refinement.config import RefinementConfig
from lotus_recon.refinement.spec import REFINEMENT
from PIL import Image

from lotus_recon.alignment.config import AlignmentConfig
from lotus_recon.alignment.spec import ALIGNMENT
from lotus_recon.consistency.spec import CONSISTENCY
from lotus_recon.datasets.posed import Frame, write_transforms
from lotus_recon.geometry.normals import normals_from_depth
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.models.config import PredictionConfig
from lotus_recon.normal_integration.spec import INTEGRATION
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.multi_view import check_job
from lotus_recon.recipes.table import MULTI_VIEW
from lotus_recon.reporting.spec import REPORT
from lotus_recon.stages import Context, reads_of, stages_of
from lotus_recon.types import DepthKind, DepthMap, NormalMap, Prediction
from lotus_recon.workspace import Workspace
from pipelines.multi_view import run
from tests.alignment.analytic import BALLS, FLOOR_Y, WALL_Z
from tests.refinement.scenes import bent, gray_of, views

OPTIONS = Path(__file__).with_name("no_photo_noise.yaml")


def write_scene(root: Path, with_normals: bool = False) -> list[str]:
    """The command line of a scene with five photos and bent depth, known up to scale and shift."""
    seen = [replace(view, camera=view.camera.resized(320, 240)) for view in views(5, step=0.5)]
    frames = []
    for view in seen:
        gray = np.round(255 * gray_of(view)).astype(np.uint8)
        path = root / "photos" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(gray[..., None], 3, axis=2)).save(path, quality=97)
        frames.append(Frame(path, view))
        depth = DepthMap((0.3 * bent(view, 0.15) - 0.2).astype(np.float32), np.ones(gray.shape, bool), DepthKind.AFFINE)
        normals = NormalMap(*normals_from_depth(bent(view, 0.15), depth.valid, view.camera)) if with_normals else None
        save_prediction(root / "maps" / f"{view.stem}.npz", Prediction(depth, normals))
    write_transforms(frames, root / "transforms.json")
    stored = ["--model", "precomputed", "--predictions", str(root / "maps"), "--poses", str(root / "transforms.json")]
    return [str(root / "photos"), *stored, "--config", str(OPTIONS), "--quiet"]


def distance_to_truth(mesh: Path) -> np.ndarray:
    """Distance of the vertices to the nearest of the analytic surfaces."""
    vertices = read_mesh(mesh).vertices.astype(np.float64)
    surfaces = [np.abs(vertices[:, 1] - FLOOR_Y), np.abs(vertices[:, 2] - WALL_Z)]
    surfaces += [np.abs(np.linalg.norm(vertices - middle, axis=1) - radius) for middle, radius in BALLS]
    return np.min(surfaces, axis=0)


def test_the_refined_mesh_is_nearer_to_the_truth(tmp_path: Path) -> None:
    command = write_scene(tmp_path)
    for name, more in (("refined", []), ("plain", ["--no-refine"])):
        assert run([*command, "--out", str(tmp_path / name), *more]) == 0
    refined, plain = (distance_to_truth(tmp_path / name / "mesh/mesh.ply") for name in ("refined", "plain"))
    assert np.median(refined) < 0.6 * np.median(plain)
    assert not (tmp_path / "plain/refinement").exists()
    report = json.loads((tmp_path / "refined/report/report.json").read_text())
    assert [row["status"] for row in report["figures"]["refinement of each view"]] == ["refined"] * 5
    assert {"refined depth", "photo agreement", "error at points, red 3%"} <= set(report["views"][0]["images"])


@pytest.mark.parametrize(
    ("refine", "align", "expected"),
    [(True, "auto", "refinement"), (False, "auto", "alignment"), (True, "none", "alignment")],
)
def test_what_is_checked_and_fused(refine: bool, align: str, expected: str, tmp_path: Path) -> None:
    write_scene(tmp_path)
    for path in (tmp_path / "maps").iterdir():
        depth = DepthMap(np.ones((240, 320), np.float32), np.ones((240, 320), bool), DepthKind.METRIC)
        save_prediction(path, Prediction(depth, None))
    config = MultiViewConfig(
        prediction=PredictionConfig(model="precomputed", predictions=tmp_path / "maps"),
        alignment=AlignmentConfig(align=align),  # type: ignore[arg-type]
        refinement=RefinementConfig(refine=refine),
    )
    config = replace(config, sfm=replace(config.sfm, poses=tmp_path / "transforms.json", pose_unit="m"))
    job = check_job(tmp_path / "photos", config, tmp_path / "out")
    context = Context(Workspace(tmp_path / "out"), job, stages_of(MULTI_VIEW, job))
    assert context.first_of(INTEGRATION, REFINEMENT, ALIGNMENT).name == expected
    assert context.has(REFINEMENT) == (expected == "refinement")
    assert (REFINEMENT in reads_of(CONSISTENCY, context.stages)) == (expected == "refinement")
    assert (REFINEMENT in reads_of(REPORT, context.stages)) == (expected == "refinement")
