"""The task reconstruction on files: a box seen by cameras, moved, scaled, cut; reports of the alignment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import SurfaceConfig
from lotus_recon.evaluation.surface_job import check_job, run_job, score
from lotus_recon.geometry.pose import Similarity
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.maps import save_prediction
from lotus_recon.io.meshes import PointCloud, write_ply
from lotus_recon.io.transforms import write_transforms
from lotus_recon.types import DepthKind, DepthMap, Mesh, Prediction
from pipelines.evaluate import run

MOVED = Similarity(0.25, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([5.0, -3, 2]))
CAMERA = SourceCamera("PINHOLE", 40, 30, (30.0, 30.0, 20.0, 15.0))
CENTERS = np.array([[0.0, 0, 0], [0.6, 0, 0], [0, 0.5, 0.1], [0.3, 0.2, -0.3]])


def wavy() -> Mesh:
    """A surface near z = 3 that fits itself in one way only."""
    x, y = np.meshgrid(np.linspace(-2.5, 3, 56), np.linspace(-2, 2.5, 46))
    z = 3 + 0.3 * np.sin(2 * x) * np.cos(1.3 * y) + 0.1 * x
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return Mesh(np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32), triangles)


def moved(mesh: Mesh, by: Similarity) -> Mesh:
    return replace(mesh, vertices=by.apply(mesh.vertices).astype(np.float32))


def pose_at(center: NDArray[np.float64]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, 3] = -center
    return pose


def write_cameras(path: Path, by: Similarity | None = None) -> Path:
    poses = {f"{i}.png": pose_at(center) for i, center in enumerate(CENTERS)}
    if by is not None:
        poses = {name: by.apply_to_pose(pose) for name, pose in poses.items()}
    write_transforms(path, dict.fromkeys(poses, CAMERA), poses)
    return path


@pytest.fixture
def config(tmp_path: Path) -> SurfaceConfig:
    """A perfect mesh in another frame than its reference, with the cameras of both."""
    write_ply(tmp_path / "truth.ply", wavy())
    write_ply(tmp_path / "found.ply", moved(wavy(), MOVED))
    return SurfaceConfig(
        pred=tmp_path / "found.ply",
        reference=tmp_path / "truth.ply",
        pred_poses=write_cameras(tmp_path / "found.json", MOVED),
        reference_poses=write_cameras(tmp_path / "truth.json"),
        align="cameras",
        thresholds=[0.02, 0.1],
        spacing=0.03,
    )


def test_cameras_bring_the_mesh_into_the_frame_of_the_reference(config: SurfaceConfig, tmp_path: Path) -> None:
    scores = run_job(check_job(config), tmp_path / "out")
    assert scores.distances["accuracy"] < 1e-4
    assert [row["fscore"] for row in scores.table] == [1, 1]
    assert scores.alignment["scale"] == pytest.approx(4)
    assert scores.alignment["camera_rms"] < 1e-9
    matrix = np.array(scores.alignment["pred_to_reference"])
    assert matrix[:3, :3] @ MOVED.apply(np.ones(3)) + matrix[:3, 3] == pytest.approx(np.ones(3))
    stored = json.loads((tmp_path / "out/summary.json").read_text())
    assert stored["tolerances"][0]["fscore"] == 1
    assert stored["protocol"]["align"] == "cameras"
    assert "| 0.02 | 1 | 1 | 1 |" in (tmp_path / "out/table.md").read_text()


def test_without_alignment_nothing_is_near(config: SurfaceConfig) -> None:
    assert score(check_job(replace(config, align="none"))).table[1]["fscore"] == 0


def test_icp_removes_a_small_motion_and_reports_it(config: SurfaceConfig, tmp_path: Path) -> None:
    angle = np.radians(2)
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    write_ply(tmp_path / "near.ply", moved(wavy(), Similarity(1.02, R, np.array([0.03, 0.02, -0.03]))))
    near = replace(config, pred=tmp_path / "near.ply", align="none", icp_distance=0.3, spacing=0.04)
    before = score(check_job(near))
    after = score(check_job(replace(near, icp="similarity")))
    assert before.distances["accuracy"] > 0.02
    assert after.distances["accuracy"] < 0.25 * before.distances["accuracy"]
    assert after.alignment["icp_rms_after"] < after.alignment["icp_rms_before"]
    assert after.alignment["icp_scale"] == pytest.approx(1 / 1.02, abs=0.01)
    assert after.alignment["icp_rotation_deg"] == pytest.approx(2, abs=0.5)
    rigid = score(check_job(replace(near, icp="rigid")))
    assert rigid.alignment["icp_scale"] == pytest.approx(1, abs=1e-9)
    with pytest.raises(InputError, match="align first"):
        score(check_job(replace(config, align="none", icp="rigid")))


def write_depth(folder: Path) -> Path:
    """Depth maps of the plane z = 3 from every camera."""
    for i, center in enumerate(CENTERS):
        depth = np.full((30, 40), 3.0 - center[2], np.float32)
        found = DepthMap(depth, np.ones((30, 40), bool), DepthKind.METRIC)
        save_prediction(folder / f"{i}.npz", Prediction(found, None, {}))
    return folder


def test_depth_maps_are_a_reference_and_say_what_was_seen(config: SurfaceConfig, tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(-1.8, 1.8, 181), np.linspace(-1.3, 1.3, 131))
    plane = np.stack([x, y, np.full_like(x, 3.0)], -1).reshape(-1, 3)
    hidden = plane + np.array([0, 0, 1.0])  # behind the plane: no camera could have seen it
    floating = plane[::50] - np.array([0, 0, 0.5])  # in front of it: a mistake that counts
    write_ply(tmp_path / "found.ply", PointCloud(np.concatenate([plane, hidden, floating]).astype(np.float32)))
    maps = replace(config, align="none", reference=write_depth(tmp_path / "depth"), thresholds=[0.05], spacing=0.02)
    everything = score(check_job(maps))
    seen = score(check_job(replace(maps, seen_only=True)))
    assert everything.table[0]["precision"] < 0.6
    assert seen.samples[0] < everything.samples[0]
    assert 0.9 < seen.table[0]["precision"] < 1
    with pytest.raises(InputError, match="reference-poses"):
        check_job(replace(maps, reference_poses=None))
    with pytest.raises(InputError, match="seen-only"):
        check_job(replace(config, seen_only=True))


def test_a_box_cuts_both_sides(config: SurfaceConfig) -> None:
    coarse = replace(config, spacing=0.05)
    whole, part = score(check_job(coarse)), score(check_job(replace(coarse, box=[-1, -1, 0, 1, 1, 9])))
    assert all(few < many for few, many in zip(part.samples, whole.samples, strict=True))
    with pytest.raises(InputError, match="masks exclude all points"):
        score(check_job(replace(coarse, box=[90, 90, 90, 91, 91, 91])))


def test_what_cannot_be_scored_is_refused(config: SurfaceConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--thresholds"):
        check_job(replace(config, thresholds=[]))
    with pytest.raises(InputError, match="--pred-poses"):
        check_job(replace(config, pred_poses=None))
    with pytest.raises(InputError, match="--pred and --reference"):
        check_job(replace(config, pred=None))
    with pytest.raises(InputError, match=r"nothing\.ply"):
        check_job(replace(config, pred=tmp_path / "nothing.ply"))
    with pytest.raises(InputError, match=rf"{config.reference}: samples 1e-06 apart .* larger --spacing"):
        check_job(replace(config, spacing=1e-6))


def test_what_is_refused_ends_with_2_and_leaves_no_folder(config: SurfaceConfig, tmp_path: Path) -> None:
    sides = ["--pred", str(config.pred), "--reference", str(config.reference), "--spacing", "1e-6"]
    with pytest.raises(InputError, match="--spacing"):
        run(["reconstruction", *sides, "--thresholds", "0.1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_dtus_masks_choose_what_is_judged_not_what_is_there(tmp_path: Path) -> None:
    """As DTU's evaluation: unobserved prediction is no error, but still a neighbour; the table is no reference."""
    scan = np.array([[0.0, 0, 0], [1, 0, 0], [9, 0, -1]])  # the last below the table
    found = np.array([[0.0, 0, 0.5], [1.0, 0, 0.25], [999.0, 0, 0]])  # seen; not seen; far outside
    write_ply(tmp_path / "scan.ply", PointCloud(scan.astype(np.float32)))
    write_ply(tmp_path / "found.ply", PointCloud(found.astype(np.float32)))
    seen = np.zeros((3, 3, 3), np.uint8)
    seen[0] = 1
    savemat(tmp_path / "mask.mat", {"ObsMask": seen, "BB": np.array([[0.0, -1, -1], [2, 1, 1]]), "Res": 1.0})
    savemat(tmp_path / "plane.mat", {"P": np.array([[0.0], [0], [1], [0.5]])})
    config = SurfaceConfig(
        pred=tmp_path / "found.ply",
        reference=tmp_path / "scan.ply",
        dtu_mask=tmp_path / "mask.mat",
        dtu_plane=tmp_path / "plane.mat",
        thresholds=[0.3],
        spacing=0.1,
        thin_reference=False,
        exact=False,
        max_distance=20.0,
    )
    scores = score(check_job(config))
    assert scores.samples == (1, 2)
    assert scores.distances["accuracy"] == pytest.approx(0.5)
    assert scores.distances["completeness"] == pytest.approx((0.5 + 0.25) / 2)
    assert scores.table[0] == {"threshold": 0.3, "precision": 0, "recall": 0.5, "fscore": 0}
