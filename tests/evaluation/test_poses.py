"""Poses with planted errors: curves worked out by hand, files of every kind, names that do and do not match."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import PosesConfig
from lotus_recon.evaluation.pose_files import match_names, read_poses
from lotus_recon.evaluation.poses import check_job, relative_pose_auc, relative_pose_errors_deg, run_job
from lotus_recon.geometry.pose import Similarity
from lotus_recon.io.cameras import SourceCamera
from lotus_recon.io.transforms import write_transforms


def turned(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def poses(count: int = 6) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(1)
    made = {}
    for i in range(count):
        pose = np.eye(4)
        pose[:3, :3] = turned(float(rng.uniform(-40, 40)))
        pose[:3, 3] = rng.uniform(-2, 2, 3)
        made[f"photos/{i:02d}"] = pose
    return made


def test_a_similarity_of_the_world_changes_nothing() -> None:
    given = poses()
    moved = Similarity(3.0, turned(70), np.array([1.0, 2, 3]))
    found = {name: moved.apply_to_pose(pose) for name, pose in given.items()}
    assert relative_pose_errors_deg(found, given).max() < 1e-6
    assert relative_pose_auc(found, given, [5.0])["auc_5"] == pytest.approx(1, abs=1e-6)


def test_one_turned_camera_spoils_the_pairs_it_is_in() -> None:
    given = poses()
    found = {name: pose.copy() for name, pose in given.items()}
    extra = np.eye(4)
    extra[:3, :3] = turned(4)  # about its own centre
    found["photos/02"] = extra @ found["photos/02"]
    errors = np.sort(relative_pose_errors_deg(found, given))
    assert (errors[:10] < 1e-6).all()
    assert errors[10:] == pytest.approx(np.full(5, 4.0), abs=1e-6)  # directions turn with the camera, by 4 at most
    # Recall is 10/15 at 0, rises linearly to 11/15 at the first error of 4, and is 1 from there to 5.
    area = 4 * (10 / 15 + 11 / 15) / 2 + 1
    assert relative_pose_auc(found, given, [5.0])["auc_5"] == pytest.approx(area / 5, abs=1e-6)


def test_the_area_by_hand() -> None:
    # Two cameras and one pair, 3 degrees off: the curve rises from (0, 0) to (3, 1) and stays.
    given = {"a": np.eye(4), "b": np.eye(4)}
    given["b"][:3, 3] = [1, 0, 0]
    found = {"a": np.eye(4), "b": np.eye(4)}
    found["b"][:3, 3] = [np.cos(np.radians(3)), np.sin(np.radians(3)), 0]
    auc = relative_pose_auc(found, given, [5.0, 10.0, 2.0])
    assert auc["auc_5"] == pytest.approx((1.5 + 2) / 5)
    assert auc["auc_10"] == pytest.approx((1.5 + 7) / 10)
    assert auc["auc_2"] == 0
    opposite = {"a": np.eye(4), "b": np.eye(4)}
    opposite["b"][:3, 3] = [-1, 0, 0]
    assert relative_pose_errors_deg(opposite, given) == pytest.approx([180])


def test_photos_that_were_not_registered_fail_in_all_their_pairs() -> None:
    given = poses(5)
    found = {name: pose for name, pose in given.items() if name != "photos/03"}
    assert np.isinf(relative_pose_errors_deg(found, given)).sum() == 4
    assert relative_pose_auc(found, given, [10.0])["auc_10"] == pytest.approx(0.6, abs=1e-6)


def test_names_match_by_as_little_as_tells_them_apart() -> None:
    assert match_names(["/x/a", "/x/b"], ["b", "c"]) == {"/x/b": "b"}
    assert match_names(["u/1/a", "u/2/a"], ["1/a", "2/a"]) == {"u/1/a": "1/a", "u/2/a": "2/a"}
    with pytest.raises(InputError, match="do not match"):
        match_names(["a"], ["b"])
    with pytest.raises(InputError, match="do not match"):
        match_names(["1/a", "2/a"], ["a", "b"])


def test_the_task_reads_two_kinds_of_files_and_writes_what_it_found(tmp_path: Path) -> None:
    given = poses()
    camera = SourceCamera("PINHOLE", 40, 30, (30.0, 30.0, 20.0, 15.0))
    files = {f"images/{name}.png": pose for name, pose in given.items()}
    write_transforms(tmp_path / "transforms.json", dict.fromkeys(files, camera), files)
    frames = [{"file": f"{name}.jpg", "K": np.eye(3).tolist(), "w2c": pose.tolist()} for name, pose in given.items()]
    (tmp_path / "cameras.json").write_text(json.dumps({"frames": frames[:5]}))
    config = PosesConfig(pred=tmp_path / "cameras.json", reference=tmp_path / "transforms.json", auc_deg=[5.0])
    scores = run_job(check_job(config), tmp_path / "out")
    assert scores["position_rms"] < 1e-9
    assert scores["registered"] == pytest.approx(5 / 6)
    assert scores["auc_5"] == pytest.approx(10 / 15, abs=1e-6)
    stored = json.loads((tmp_path / "out/summary.json").read_text())["scores"]
    assert stored["registered"]["value"] == scores["registered"]
    assert stored["rotation_median_deg"]["unit"] == "deg"
    assert "auc_5" in (tmp_path / "out/table.md").read_text()


def test_bad_files_are_refused(tmp_path: Path) -> None:
    for content, message in (
        ("{", "not JSON"),
        ('{"frames": [{"file": "a", "w2c": [[1, 0], [0, 1]]}]}', "w2c of 'a'"),
        ('{"frames": []}', "frames"),
    ):
        (tmp_path / "poses.json").write_text(content)
        with pytest.raises(InputError, match=message):
            read_poses(tmp_path / "poses.json")
    with pytest.raises(InputError, match="COLMAP"):
        read_poses(tmp_path)
    with pytest.raises(InputError, match="--pred and --reference"):
        check_job(PosesConfig())
