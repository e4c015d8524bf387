"""multi_view on a small scene of known shape: the command line, start to end, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.geometry.normals import angle_deg, normalized, normals_from_depth
from lotus_recon.geometry.triangles import triangle_area_vectors
from lotus_recon.io.maps import load_arrays, load_prediction, save_arrays, save_prediction
from lotus_recon.io.meshes import read_mesh
from lotus_recon.types import Mesh, NormalMap, Prediction
from pipelines.multi_view import run
from tests.killing import kill_when
from tests.recipes.scenes import CAMERA, RADIUS, SceneOnDisk, write_scene

STAGES = [
    "sfm",
    "images",
    "prediction/precomputed",
    "alignment",
    "consistency",
    "fusion/tsdf",
    "mesh",
    "texture",
    "report",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SceneOnDisk:
    """A scene that was run once; tests copy it before they change it."""
    scene = write_scene(tmp_path_factory.mktemp("scene"))
    assert run(scene.arguments()) == 0
    return scene


@pytest.fixture
def scene(tmp_path: Path) -> SceneOnDisk:
    return write_scene(tmp_path)


@pytest.fixture
def copied(finished: SceneOnDisk, tmp_path: Path) -> SceneOnDisk:
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    return SceneOnDisk(finished.photos, finished.predictions, finished.poses, out)


def run_ids(out: Path) -> dict[str, str]:
    return {stage: json.loads((out / stage / "stage.json").read_text())["run_id"] for stage in STAGES}


def rerun(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [stage for stage in STAGES if before[stage] != after[stage]]


def test_tiles_larger_than_photos_are_refused_before_anything(scene: SceneOnDisk) -> None:
    with pytest.raises(InputError, match=r"--tiles 2000: view 0.png has .* pixels and is smaller than a tile"):
        run([str(scene.photos), "--out", str(scene.out), "--model", "nano", "--tiles", "2000"])
    assert not scene.out.exists()


def test_the_mesh_is_the_sphere_on_the_floor(finished: SceneOnDisk) -> None:
    mesh = read_mesh(finished.out / "mesh/mesh.ply")
    to_sphere = np.abs(np.linalg.norm(mesh.vertices, axis=1) - RADIUS)
    to_floor = np.abs(mesh.vertices[:, 2] + RADIUS)
    voxel = json.loads((finished.out / "fusion/tsdf/fusion.json").read_text())["voxel_size"]
    assert np.quantile(np.minimum(to_sphere, to_floor), 0.9) < voxel
    assert (to_sphere < voxel).sum() > 500
    assert (to_floor < voxel).sum() > 500


def test_the_mesh_has_the_errors_of_the_depth_maps_that_it_lies_on(finished: SceneOnDisk) -> None:
    """That of a vertex is between those of the most and the least certain pixel, in units of the poses."""
    sigma = read_mesh(finished.out / "mesh/mesh.ply").sigma
    assert sigma is not None
    known = sigma[np.isfinite(sigma)]
    assert len(known) > 0.9 * len(sigma)
    stems = [path.stem for path in (finished.out / "uncertainty").glob("*.npz")]
    errors = [
        np.load(finished.out / f"uncertainty/{stem}.npz")["sigma"]
        * np.load(finished.out / f"consistency/{stem}.npz")["depth"]
        for stem in stems
    ]
    pixels = np.concatenate([error[error > 0] for error in errors])
    assert pixels.min() * 0.999 < known.min() <= known.max() < pixels.max() * 1.001


def off_normals_deg(mesh: Mesh) -> float:
    """Median angle between the triangles of a mesh and the sphere or the floor beside them."""
    centres = mesh.vertices[mesh.triangles].mean(1)
    distance = np.linalg.norm(centres, axis=1)
    on_sphere = np.abs(distance - RADIUS) < np.abs(centres[:, 2] + RADIUS)
    truth = np.where(on_sphere[:, None], centres / distance[:, None], [0.0, 0.0, 1.0])
    return float(np.median(angle_deg(normalized(triangle_area_vectors(mesh)), truth)))


def test_with_normals_the_mesh_follows_them(scene: SceneOnDisk) -> None:
    """Every pixel of the depth is off by half a percent and normals are true: the fused mesh is rough, the mesh not."""
    for i, path in enumerate(sorted(scene.predictions.glob("*.npz"))):
        depth = load_prediction(path).depth
        assert depth is not None
        values, known = normals_from_depth(depth.values, depth.valid, CAMERA)
        noise = 1 + 0.005 * np.random.default_rng(i).standard_normal(depth.shape)
        rough = replace(depth, values=(depth.values * noise).astype(np.float32))
        save_prediction(path, Prediction(rough, NormalMap(values.astype(np.float32), known)))
    assert run(scene.arguments("--fusion", "normal", "--integration-scale", "0.1")) == 0
    fused, refined = (read_mesh(scene.out / name) for name in ("fusion/normal/mesh.ply", "mesh/mesh.ply"))
    assert off_normals_deg(refined) < 0.7 * off_normals_deg(fused)
    off = np.minimum(np.abs(np.linalg.norm(refined.vertices, axis=1) - RADIUS), np.abs(refined.vertices[:, 2] + RADIUS))
    assert np.median(off) < 0.01


def test_report_names_every_stage(finished: SceneOnDisk) -> None:
    report = json.loads((finished.out / "report/report.json").read_text())
    assert [row["stage"] for row in report["stages"]] == [
        "sfm", "frame", "images", "prediction", "alignment", "consistency", "uncertainty", "fusion", "mesh", "texture",
        "cloud",
    ]  # fmt: skip
    assert all(row["seconds"] >= 0 and row["peak_memory_mb"] > 0 for row in report["stages"])
    told = report["figures"]["uncertainty"]
    assert told["calibration"] == json.loads((finished.out / "uncertainty/uncertainty.json").read_text())["calibration"]
    assert [row["name"] for row in told["views"]] == report["photos"]["registered"]
    assert "in nine of ten (calibrated on" in (finished.out / "report/index.html").read_text()
    assert (finished.out / "config.yaml").read_text().count("voxel_size:") == 1


def test_a_run_names_the_files_that_a_user_wants_next(copied: SceneOnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [argument for argument in copied.arguments() if argument != "--quiet"]
    assert run(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    wanted = [
        "texture/mesh.glb",
        "texture/mesh.obj",
        "sfm/sparse",
        "mesh/mesh.ply",
        "mesh/mesh.glb",
        "dense.ply",
        "report/images",
        "report/index.html",
        "report/view.html",
    ]
    assert [line.split(maxsplit=1)[1] for line in shown] == [str(copied.out / name) for name in wanted]


def test_nothing_runs_twice(copied: SceneOnDisk) -> None:
    before = run_ids(copied.out)
    assert run(copied.arguments()) == 0
    assert rerun(before, run_ids(copied.out)) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--voxel-size", "0.05"], STAGES[5:]),
        (["--from", "consistency"], STAGES[4:]),
        (["--report-views", "1"], STAGES[8:]),
        (["--max-triangles", "500"], STAGES[6:]),
        (["--only", "fusion", "--voxel-size", "0.06"], STAGES[5:6]),
    ],
)
def test_a_changed_option_repeats_what_depends_on_it(copied: SceneOnDisk, more: list[str], expected: list[str]) -> None:
    before = run_ids(copied.out)
    assert run(copied.arguments(*more)) == 0
    assert rerun(before, run_ids(copied.out)) == expected


def test_a_deleted_stage_file_repeats_that_stage_and_those_after_it(copied: SceneOnDisk) -> None:
    before = run_ids(copied.out)
    (copied.out / "alignment/stage.json").unlink()
    assert run(copied.arguments()) == 0
    assert rerun(before, run_ids(copied.out)) == STAGES[3:]


def test_only_sfm_needs_no_model(scene: SceneOnDisk) -> None:
    posed = ["--poses", str(scene.poses), "--no-triangulate"]
    assert run([str(scene.photos), "--out", str(scene.out), *posed, "--only", "sfm", "--quiet"]) == 0
    assert (scene.out / "sfm/sparse/cameras.bin").exists()


@pytest.mark.slow
def test_kill_9_in_every_stage_and_run_again(finished: SceneOnDisk, tmp_path: Path) -> None:
    fresh = SceneOnDisk(finished.photos, finished.predictions, finished.poses, tmp_path / "out")
    command = [sys.executable, "-m", "pipelines.multi_view", *fresh.arguments("--deterministic")]
    for stage in ("prediction--precomputed", "alignment", "consistency", "fusion--tsdf", "mesh", "texture", "report"):
        process = subprocess.Popen(command, start_new_session=True)
        scratch = fresh.out / ".scratch" / stage
        kill_when(process, lambda s=scratch: any(path.is_dir() for path in s.glob("*")), group=True)  # type: ignore[misc]
        assert not (fresh.out / stage.replace("--", "/")).exists(), "half done"
    assert subprocess.run(command, check=False).returncode == 0
    clean = SceneOnDisk(finished.photos, finished.predictions, finished.poses, tmp_path / "clean")
    assert run(clean.arguments("--deterministic")) == 0
    mesh = "fusion/tsdf/mesh.ply"
    assert (fresh.out / mesh).read_bytes() == (clean.out / mesh).read_bytes()
    assert not list((fresh.out / ".scratch").rglob("*.npz"))


def test_deterministic_runs_agree_to_the_byte(scene: SceneOnDisk, tmp_path: Path) -> None:
    files = [
        "fusion/tsdf/mesh.ply",
        "mesh/mesh.glb",
        "texture/mesh.glb",
        "consistency/view 0.npz",
        "alignment/alignment.json",
    ]
    contents = []
    for name in ("first", "second"):
        again = SceneOnDisk(scene.photos, scene.predictions, scene.poses, tmp_path / name)
        assert run(again.arguments("--deterministic")) == 0
        contents.append([(again.out / file).read_bytes() for file in files])
    assert contents[0] == contents[1]


def test_masks_leave_no_surface_where_they_are_black(scene: SceneOnDisk) -> None:
    masks = scene.photos / "masks"
    masks.mkdir()
    for photo in scene.photos.glob("*.png"):
        depth = load_arrays(scene.predictions / f"{photo.stem}.npz")["depth"]
        keep = np.zeros(depth.shape, np.uint8)
        keep[:, : depth.shape[1] // 2] = 255
        Image.fromarray(keep).save(masks / photo.name)
    assert run(scene.arguments()) == 0
    masked = load_arrays(scene.out / "alignment/view 0.npz")["depth_valid"]
    assert masked[:, :40].any()
    assert not masked[:, 50:].any()


# --- what is refused -------------------------------------------------------------------------------------------------

Change = Callable[[SceneOnDisk], object]


def rewrite_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def photo(scene: SceneOnDisk) -> Path:
    return scene.photos / "view 1.png"


def map_file(scene: SceneOnDisk) -> Path:
    return scene.predictions / "view 1.npz"


def change_maps(scene: SceneOnDisk, **arrays: Any) -> None:
    save_arrays(map_file(scene), **{**load_arrays(map_file(scene)), **arrays})


def only_one_photo(scene: SceneOnDisk) -> None:
    for path in sorted(scene.photos.iterdir())[1:]:
        path.unlink()


def black_mask_of_another_size(scene: SceneOnDisk) -> None:
    (scene.photos / "masks").mkdir()
    Image.new("L", (10, 10), 255).save(scene.photos / "masks/view 1.png")


def scaled_matrix(scene: SceneOnDisk) -> None:
    def scale(content: dict[str, Any]) -> None:
        content["frames"][1]["transform_matrix"][0] = [9, 9, 9, 9]

    rewrite_json(scene.poses, scale)


REFUSED: dict[str, tuple[Change, str]] = {
    "empty folder": (lambda s: list(map(os.remove, s.photos.iterdir())), "no photos in .*photos é"),
    "no folder": (lambda s: shutil.rmtree(s.photos), "does not exist"),
    "one photo": (only_one_photo, "one photo.*single_view"),
    "truncated photo": (lambda s: os.truncate(photo(s), 500), "1 of 6 photos.*\n.*view 1.png"),
    "0 bytes": (lambda s: os.truncate(photo(s), 0), "0 bytes"),
    "text as photo": (lambda s: photo(s).write_text("hello"), "view 1.png.*not an image"),
    "1x1 photo": (lambda s: Image.new("RGB", (1, 1)).save(photo(s)), "view 1.png is 1x1"),
    "100 megapixels": (lambda s: Image.new("L", (10000, 10000)).save(photo(s)), "view 1.png has 100 megapixels"),
    "no predictions at all": (lambda s: shutil.rmtree(s.predictions), "no such folder"),
    "none of these photos": (
        lambda s: [p.rename(p.with_stem("x" + p.stem)) for p in s.predictions.iterdir()],
        "predictions for none of the 6 photos.*view 0.npz",
    ),
    "wrong size": (lambda s: change_maps(s, depth=np.ones((5, 6)), depth_valid=np.ones((5, 6), bool)), "6x5.*96x72"),
    "all NaN": (
        lambda s: change_maps(s, depth=np.full((72, 96), np.nan), depth_valid=np.zeros((72, 96), bool)),
        "view 1.npz: depth has no valid pixel",
    ),
    "NaN marked valid": (
        lambda s: change_maps(s, depth=np.full((72, 96), np.nan), depth_valid=np.ones((72, 96), bool)),
        "view 1.npz: depth has NaN",
    ),
    "unknown kind": (lambda s: change_maps(s, meta=np.array('{"kind": "FEET"}')), "FEET.*METRIC"),
    "a kind that only alignment makes": (
        lambda s: change_maps(s, meta=np.array('{"kind": "SCENE"}')),
        "view 1.png is SCENE",
    ),
    "a kind that --align none cannot use": (
        lambda s: change_maps(s, meta=np.array('{"kind": "AFFINE"}')),
        "view 1.png is AFFINE; allowed here: METRIC",
    ),
    "poses of missing photos": (lambda s: photo(s).unlink(), "view 1"),
    "no matrix": (
        lambda s: rewrite_json(s.poses, lambda c: c["frames"][1].pop("transform_matrix")),
        "transforms.json.*transform_matrix",
    ),
    "no focal length": (
        lambda s: rewrite_json(s.poses, lambda c: [f.pop(key) for f in c["frames"] for key in ("fl_x", "fl_y")]),
        "transforms.json.*fl_x",
    ),
    "non-rigid matrix": (scaled_matrix, "not a rotation"),
    "mask of another size": (black_mask_of_another_size, "view 1.png is 10x10.*96x72"),
    "more wanted than given": (
        lambda s: (s.photos.parent / "many.yaml").write_text("sfm: {advanced: {min_registered: 50}}"),
        "min_registered 50: there are only 6 photos",
    ),
    "output is a file": (lambda s: s.out.write_text(""), "is a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_work(case: str, scene: SceneOnDisk) -> None:
    change, message = REFUSED[case]
    change(scene)
    was_there = scene.out.exists()
    more = ["--config", str(scene.photos.parent / "many.yaml")] if case == "more wanted than given" else []
    with pytest.raises(InputError, match=f"(?s){message}"):
        run(scene.arguments(*more))
    assert scene.out.exists() == was_there, "nothing is written"


def test_an_option_without_effect_is_told_before_any_work(
    scene: SceneOnDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, told in ((["--background", "drop"], 1), ([], 0)):
        with pytest.raises(InputError, match="not yet run"):
            run(scene.arguments("--no-mvs", "--only", "fusion", *more))
        message = "--background drop has no effect: this run has no stage mvs, which needs --mvs, and no --align none"
        assert capsys.readouterr().err.count(message) == told


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
def test_a_device_that_is_not_there_is_refused_before_any_work(scene: SceneOnDisk) -> None:
    with pytest.raises(InputError, match="--device cuda:1: this machine .* has none"):
        run(scene.arguments("--device", "cuda:1"))
    assert not scene.out.exists()


def test_photos_are_never_replaced(scene: SceneOnDisk) -> None:
    """The layout of COLMAP and nerfstudio, photos in ``scene/images``, with the scene itself as output folder."""
    folder = scene.out.parent / "scene"
    shutil.copytree(scene.photos, folder / "images")
    arguments = SceneOnDisk(folder / "images", scene.predictions, scene.poses, folder).arguments()
    with pytest.raises(InputError, match="photo folder .*images lies where the output goes"):
        run(arguments)
    (folder / "images").rename(folder / "pictures")
    (folder / "fusion").mkdir()
    arguments[0] = str(folder / "pictures")
    with pytest.raises(InputError, match="fusion is not an output of this program"):
        run(arguments)
    assert sorted(path.name for path in folder.iterdir()) == ["fusion", "pictures"]


def test_output_inside_the_photo_folder_is_not_taken_for_photos(scene: SceneOnDisk) -> None:
    inside = SceneOnDisk(scene.photos, scene.predictions, scene.poses, scene.photos / "out")
    for _ in range(2):
        assert run(inside.arguments()) == 0
    assert len(json.loads((inside.out / "report/report.json").read_text())["photos"]["registered"]) == 6


def test_the_same_predictions_by_another_path_change_nothing(
    copied: SceneOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_ids(copied.out)
    monkeypatch.chdir(copied.predictions.parent)
    other = SceneOnDisk(copied.photos, Path(copied.predictions.name), Path(copied.poses.name), copied.out)
    assert run(other.arguments()) == 0
    assert rerun(before, run_ids(copied.out)) == []


def test_only_in_an_empty_folder_is_refused_and_leaves_nothing(scene: SceneOnDisk) -> None:
    with pytest.raises(InputError, match="--only fusion needs frame, images, consistency"):
        run(scene.arguments("--only", "fusion"))
    assert not scene.out.exists()


@pytest.mark.parametrize(
    ("only", "options", "message"),
    [
        # the mesh itself is up to date with the fused surface that is there, which another voxel size would change
        (
            "mesh",
            ["--voxel-size", "0.05"],
            r"needs fusion, out of date in .*\(made with --voxel-size none \(now 0.05\)\)",
        ),
        (
            "mesh",
            ["--min-consistent-views", "3"],
            r"needs consistency, uncertainty, fusion, .*--min-consistent-views 1 \(now 3\)\)",
        ),
        ("fusion", ["--seed", "7"], r"needs prediction, alignment, consistency, .*\(made with --seed 0 \(now 7\)\)"),
    ],
)
def test_only_on_stages_of_other_options_is_refused_before_anything_is_written(
    copied: SceneOnDisk, only: str, options: list[str], message: str
) -> None:
    written = (copied.out / "config.yaml").read_text()
    with pytest.raises(InputError, match=f"--only {only} {message}: run without --only"):
        run(copied.arguments("--only", only, *options))
    assert (copied.out / "config.yaml").read_text() == written
    assert run(copied.arguments("--only", only)) == 0, "with the options of the earlier run"


def test_the_options_of_a_run_that_made_nothing_are_not_blamed(copied: SceneOnDisk) -> None:
    config = copied.out / "config.yaml"
    config.write_text(config.read_text().replace("voxel_size: null", "voxel_size: 0.07"))
    with pytest.raises(
        InputError, match=r"needs fusion, out of date .*\(other input, or options of an interrupted run"
    ):
        run(copied.arguments("--only", "mesh", "--voxel-size", "0.05"))


def test_an_unknown_word_is_told_with_those_that_are_allowed_once(scene: SceneOnDisk) -> None:
    with pytest.raises(InputError, match=r"^--fusion foo: must be one of tsdf, normal$"):
        run(scene.arguments("--fusion", "foo"))
    for word, close in (("foo", ""), ("fusoin", r"; did you mean 'fusion'\?")):
        with pytest.raises(InputError, match=f"^--only: unknown stage '{word}'{close}; stages: frames, sfm, [a-z, ]*$"):
            run(scene.arguments("--only", word))
    assert not scene.out.exists()


def test_a_project_that_was_moved_is_up_to_date(copied: SceneOnDisk, tmp_path: Path) -> None:
    """Copied with new times: photos, maps, poses and results."""
    moved = shutil.copytree(copied.photos.parent, tmp_path / "moved", copy_function=shutil.copyfile)
    out = shutil.copytree(copied.out, tmp_path / "results", copy_function=shutil.copyfile)
    photos, predictions, poses = (moved / path.name for path in (copied.photos, copied.predictions, copied.poses))
    scene = SceneOnDisk(photos, predictions, poses, out)
    assert run(scene.arguments()) == 0
    assert rerun(run_ids(copied.out), run_ids(out)) == []


def test_other_photos_need_force(copied: SceneOnDisk, scene: SceneOnDisk, tmp_path: Path) -> None:
    folder = shutil.copytree(scene.photos.parent, tmp_path / "others")
    photos, predictions, poses = (folder / path.name for path in (scene.photos, scene.predictions, scene.poses))
    first = sorted(photos.rglob("*.png"))[0]
    Image.open(first).rotate(180).save(first)
    other = SceneOnDisk(photos, predictions, poses, copied.out)
    with pytest.raises(InputError, match="holds results of"):
        run(other.arguments())
    assert run(other.arguments("--force")) == 0


def test_photos_without_predictions_are_a_warning(scene: SceneOnDisk) -> None:
    map_file(scene).unlink()
    assert run(scene.arguments()) == 0
    report = json.loads((scene.out / "report/report.json").read_text())
    assert any("view 1" in row["warning"] for row in report["warnings"])
    assert len(report["photos"]["registered"]) == 6


def test_disk_full_while_fusing(scene: SceneOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from lotus_recon.fusion import stage

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mesh.ply")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_ply", full)
        assert run(scene.arguments()) == 1
    assert not (scene.out / "fusion").exists() or not list((scene.out / "fusion").iterdir())
    assert run(scene.arguments()) == 0
    assert (scene.out / "fusion/tsdf/mesh.ply").exists()
