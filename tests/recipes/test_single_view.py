"""single_view on small photos with stored predictions of a known plane: the command line, start to end."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from lotus_recon.errors import InputError
from lotus_recon.geometry.camera import project, rays_in_cam
from lotus_recon.io.images import read_png16, read_rgb
from lotus_recon.io.maps import load_prediction, save_prediction
from lotus_recon.io.meshes import read_mesh, read_points
from lotus_recon.photo_job import PhotoJob
from lotus_recon.recipes import single_view
from lotus_recon.recipes.single_view import Outcome
from lotus_recon.types import Camera, DepthKind, DepthMap, NormalMap, Prediction
from pipelines.single_view import run

WIDTH, HEIGHT, FOV_DEG = 64, 48, 60.0
NORMAL = np.array([0.3, 0.1, -1.0]) / np.linalg.norm([0.3, 0.1, -1.0])
FILES = {
    "prediction.npz",
    "camera.json",
    "uncertainty.npz",
    "uncertainty.json",
    "depth.png",
    "depth_16bit.png",
    "normals.png",
    "points.ply",
    "mesh.ply",
    "view.html",
    "mesh.glb",
}


def plane_prediction(kind: DepthKind) -> Prediction:
    """Maps of a tilted plane at depth 2 in the middle of the photo."""
    camera = Camera.from_fov_deg(FOV_DEG, WIDTH, HEIGHT)
    depth = (NORMAL @ [0, 0, 2.0]) / (rays_in_cam(camera) @ NORMAL)
    values = 3.0 / depth - 0.2 if kind is DepthKind.AFFINE_DISPARITY else depth
    valid = np.ones(depth.shape, bool)
    normals = NormalMap(np.broadcast_to(NORMAL, (*depth.shape, 3)), valid)
    return Prediction(DepthMap(values.astype(np.float32), valid, kind), normals, {"model": "plane"})


STAGE_FILES = {f"{name}stage.json" for name in ("", "calibrate.", "uncertainty.", "mesh.", "view.")}


class Folder:
    """A folder of photos, one of stored predictions, and an output folder."""

    def __init__(self, root: Path) -> None:
        self.photos, self.predictions, self.out = root / "photos", root / "predictions", root / "out"

    def add(self, name: str, kind: DepthKind = DepthKind.METRIC) -> Path:
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(noise).save(path)
        save_prediction((self.predictions / name).with_suffix(".npz"), plane_prediction(kind))
        return path

    def run(self, *more: str, photos: Sequence[str] = ()) -> int:
        given = photos or [str(self.photos)]
        stored = ["--model", "precomputed", "--predictions", str(self.predictions)]
        return run([*given, "--out", str(self.out), *stored, "--fov-deg", str(FOV_DEG), *more])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "a path with späces")


def test_all_files_and_the_plane_they_hold(folder: Folder) -> None:
    folder.add("é b/1.PNG")
    folder.add("a/1.webp")
    assert folder.run() == 0
    for stem in ("é b/1", "a/1"):
        assert {p.name for p in (folder.out / stem).iterdir()} == FILES | STAGE_FILES
    out = folder.out / "é b/1"
    mesh = read_mesh(out / "mesh.ply")
    np.testing.assert_allclose(mesh.vertices @ NORMAL, NORMAL[2] * 2, rtol=1e-4)
    assert len(mesh.vertices) == WIDTH * HEIGHT == len(read_points(out / "points.ply").points)
    camera = json.loads((out / "camera.json").read_text())
    assert camera["fov_deg"][0] == pytest.approx(FOV_DEG)
    assert camera["source"] == "--fov-deg"


def test_the_photo_is_the_texture_with_all_its_pixels(folder: Folder) -> None:
    """A point of the mesh shows what the camera saw there."""
    folder.add("1.png")
    assert folder.run("--texture", "--texture-format", "png", "--texture-faces", "300") == 0
    out = folder.out / "1"
    assert {p.name for p in out.iterdir()} == FILES | STAGE_FILES | {
        "texture.stage.json", "textured.glb", "textured.obj", "textured.mtl", "textured.png"
    }  # fmt: skip
    np.testing.assert_array_equal(np.asarray(Image.open(out / "textured.png")), read_rgb(folder.photos / "1.png"))
    mesh: Any = trimesh.load(out / "textured.glb", force="mesh", process=False)
    assert len(mesh.faces) <= 300
    camera = Camera.from_fov_deg(FOV_DEG, WIDTH, HEIGHT)
    xy = project(mesh.vertices * (1, -1, -1), camera)
    uv = np.stack([mesh.visual.uv[:, 0], 1 - mesh.visual.uv[:, 1]], axis=1)
    np.testing.assert_allclose(uv * (WIDTH, HEIGHT), xy, atol=0.01)


def test_depth_16bit_decodes_to_the_depth(folder: Folder) -> None:
    folder.add("1.png")
    folder.run()
    stored = load_prediction(folder.out / "1/prediction.npz")
    assert stored.depth is not None
    scale = stored.meta["depth_16bit"]
    decoded = scale["low"] + (read_png16(folder.out / "1/depth_16bit.png") - 1.0) / 65534 * (
        scale["high"] - scale["low"]
    )
    np.testing.assert_allclose(decoded, stored.depth.values, atol=1e-4)


def test_affine_disparity_becomes_positive_by_the_documented_rule(folder: Folder) -> None:
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    folder.run("--depth-range-ratio", "4", "--no-estimate-camera")
    depth = read_mesh(folder.out / "1/mesh.ply").vertices[:, 2]
    assert depth.min() > 0
    far, near = np.percentile(depth, [98, 2])
    assert far / near == pytest.approx(4, rel=0.05)
    stored = load_prediction(folder.out / "1/prediction.npz")
    assert stored.depth is not None
    assert stored.depth.kind is DepthKind.AFFINE_DISPARITY


def test_a_guessed_shape_is_said_in_the_table_the_page_and_the_sidecar(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    folder.add("2.png")
    assert folder.run("--no-estimate-camera") == 0
    told = capsys.readouterr().out
    assert "camera from --fov-deg; shape guessed (depth range)" in " ".join(told.split())
    assert "shape guessed (depth range) of 1 of 2 photos" in told
    assert json.loads((folder.out / "1/camera.json").read_text())["guessed"] == ["depth range"]
    assert json.loads((folder.out / "2/camera.json").read_text())["guessed"] == []
    assert "shape guessed" in (folder.out / "1/view.html").read_text()
    assert "shape guessed" not in (folder.out / "2/view.html").read_text()


def test_a_dry_run_tells_what_would_run_and_writes_nothing(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.add("1.png")
    folder.add("2.png")
    assert folder.run("--dry-run") == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()[:-1]] == [
        "predict",
        "calibrate",
        "uncertainty",
        "mesh",
        "view",
    ]
    assert "GB of memory" in told
    assert not folder.out.exists()
    folder.run("--quiet")
    capsys.readouterr()
    assert folder.run("--dry-run") == 0
    assert "everything is up to date" in capsys.readouterr().out
    folder.run("--dry-run", "--from", "mesh")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]] == ["mesh", "view"]


def test_the_normals_show_the_shift_of_a_tilted_plane(folder: Folder) -> None:
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    folder.run()
    vertices = read_mesh(folder.out / "1/mesh.ply").vertices
    distance = vertices @ NORMAL
    np.testing.assert_allclose(distance, distance.mean(), rtol=1e-3)  # a plane of this normal, at any distance
    told = json.loads((folder.out / "1/camera.json").read_text())["estimate"]
    assert (told["focal_from"], told["shift_from"]) == ("given", "normals")
    assert told["depth_range_ratio_90"][0] < told["depth_range_ratio"] < told["depth_range_ratio_90"][1]


def test_nothing_is_estimated_when_it_is_turned_off(folder: Folder) -> None:
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    folder.run("--no-estimate-camera")
    assert "estimate" not in json.loads((folder.out / "1/camera.json").read_text())


def test_an_integrated_surface_is_as_smooth_as_the_normals(folder: Folder) -> None:
    folder.add("a.png")
    path = folder.predictions / "a.npz"
    stored = load_prediction(path)
    assert stored.depth is not None
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(stored.depth.shape)
    rough = DepthMap((stored.depth.values * noise).astype(np.float32), stored.depth.valid, DepthKind.METRIC)
    save_prediction(path, Prediction(rough, stored.normals, {"model": "plane"}))
    spread = []
    for surface in ("depth", "integrated"):
        assert folder.run("--surface", surface, "--fov-deg", str(FOV_DEG)) == 0
        points = read_mesh(folder.out / "a/mesh.ply").vertices
        spread.append(float(np.std(points @ NORMAL)))
    assert spread[1] < 0.2 * spread[0]


def test_a_surface_cannot_be_integrated_without_normals(folder: Folder) -> None:
    folder.add("a.png")
    path = folder.predictions / "a.npz"
    save_prediction(path, Prediction(load_prediction(path).depth, None, {"model": "plane"}))
    with pytest.raises(InputError, match=r"--surface integrated: --predictions .* holds no normals; name a model"):
        folder.run("--surface", "integrated")


def test_finished_photos_are_skipped_until_something_changes(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.add("1.png")
    folder.add("2.png")
    folder.run()
    before = (folder.out / "1/stage.json").read_text()
    assert folder.run() == 0
    assert f"{folder.out}/<photo>/: 2 up to date\n" in capsys.readouterr().out
    (folder.out / "2/mesh.stage.json").unlink()
    folder.run()
    table, _, end = capsys.readouterr().out.rpartition(f"{folder.out}/<photo>/: ")
    assert end.splitlines()[0] == "1 done, 1 up to date"
    states = {words[1]: words[3] for words in map(str.split, table.splitlines()) if len(words) > 4}
    assert (states["1.png"], states["2.png"]) == ("up", "done")
    folder.run(photos=[str(folder.photos / "1.png")])
    said = f"{folder.out}/1/: 1 up to date\nopen in a browser: {folder.out}/1/view.html\n"
    assert capsys.readouterr().out == said
    assert (folder.out / "1/stage.json").read_text() == before
    mesh = (folder.out / "1/mesh.stage.json").read_text()
    folder.run("--edge-jump", "0.5")
    assert (folder.out / "1/stage.json").read_text() == before, "the network does not see the photo again"
    assert (folder.out / "1/mesh.stage.json").read_text() != mesh


def test_stages_of_a_photo_run_alone_and_again(folder: Folder) -> None:
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    with pytest.raises(InputError, match="--only mesh needs predict, calibrate, not yet run"):
        folder.run("--only", "mesh")
    assert not folder.out.exists()
    assert folder.run("--only", "predict") == 0
    assert {p.name for p in (folder.out / "1").iterdir()} == {
        "prediction.npz",
        "depth.png",
        "normals.png",
        "stage.json",
    }
    assert folder.run() == 0
    stages = [folder.out / "1" / name for name in ("stage.json", "calibrate.stage.json", "mesh.stage.json")]
    before = [path.read_text() for path in stages]
    (folder.out / "1/camera.json").write_text("spoilt")
    assert folder.run("--from", "calibrate") == 0
    assert [path.read_text() != old for path, old in zip(stages, before, strict=True)] == [False, True, True]
    assert json.loads((folder.out / "1/camera.json").read_text())["width"] == WIDTH
    with pytest.raises(InputError, match="--only: unknown stage 'fusion'; .*predict, calibrate, uncertainty, mesh"):
        folder.run("--only", "fusion")


def test_a_mesh_alone_is_that_of_a_whole_run(folder: Folder) -> None:
    """What later stages load from disk is what they got from memory."""
    folder.add("1.png", DepthKind.AFFINE_DISPARITY)
    folder.run()
    whole = (folder.out / "1/mesh.ply").read_bytes()
    folder.run("--from", "mesh")
    assert (folder.out / "1/mesh.ply").read_bytes() == whole
    folder.run("--only", "mesh", "--edge-jump", "0.0401")
    assert (folder.out / "1/mesh.ply").read_bytes() == whole
    with pytest.raises(
        InputError, match=r"needs calibrate, out of date in .*\(made with --depth-range-ratio .*now 7.0"
    ):
        folder.run("--only", "mesh", "--depth-range-ratio", "7")


def test_a_broken_photo_is_reported_and_the_rest_goes_on(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.add("1.png")
    broken = folder.add("2.png")
    broken.write_bytes(broken.read_bytes()[:400])
    folder.add("3.png")
    (folder.predictions / "3.npz").unlink()
    assert folder.run() == 1
    assert "1 done, 2 failed" in capsys.readouterr().out
    assert (folder.out / "1/mesh.ply").exists()
    assert not (folder.out / "2").exists()


def test_exif_rotation_is_applied_once(folder: Folder) -> None:
    upright = folder.add("1.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(upright).transpose(Image.Transpose.ROTATE_90).save(upright, exif=exif)
    assert folder.run() == 0, "the stored maps have the size of the upright photo"


def test_folders_files_and_patterns(folder: Folder) -> None:
    first = folder.add("a/1.png")
    folder.add("b/1.png")
    assert folder.run(photos=[str(folder.photos / "*/1.png")]) == 0
    assert (folder.out / "a/1/mesh.ply").exists()
    assert (folder.out / "b/1/mesh.ply").exists()
    shutil.copy(folder.predictions / "a/1.npz", folder.predictions / "1.npz")
    assert folder.run(photos=[str(first)]) == 0
    assert (folder.out / "1/mesh.ply").exists()


def test_another_photo_of_the_same_name_needs_force(folder: Folder) -> None:
    from lotus_recon.errors import InputError

    folder.add("a/1.png")
    other = folder.add("b/1.png")
    shutil.copy(folder.predictions / "a/1.npz", folder.predictions / "1.npz")
    folder.run(photos=[str(folder.photos / "a/1.png")])
    assert folder.run(photos=[str(other)]) == 0, "the same photo, moved"
    Image.open(other).rotate(180).save(other)
    folder.run("--force", photos=[str(folder.photos / "a/1.png")])
    with pytest.raises(InputError, match="holds results of .*a/1.png"):
        folder.run(photos=[str(folder.photos / "b/1.png")])
    assert folder.run("--force", photos=[str(folder.photos / "b/1.png")]) == 0


def test_a_photo_in_the_output_folder_survives(folder: Folder) -> None:
    from lotus_recon.errors import InputError

    photo = folder.add("1/1.png")
    before = photo.read_bytes()
    with pytest.raises(InputError, match="is not an output of this program"):
        folder.run("--out", str(folder.photos), photos=[str(photo)])
    assert photo.read_bytes() == before


def test_outputs_and_masks_are_not_photos(folder: Folder) -> None:
    folder.add("1.png")
    (folder.photos / "masks").mkdir()
    shutil.copy(folder.photos / "1.png", folder.photos / "masks/1.png")
    for _ in range(2):
        assert folder.run("--out", str(folder.photos / "out")) == 0
    assert [p.name for p in (folder.photos / "out").iterdir() if p.is_dir() and not p.name.startswith(".")] == ["1"]


def test_a_photo_and_a_folder_of_one_name_are_refused(folder: Folder) -> None:
    from lotus_recon.errors import InputError

    folder.add("a.png")
    folder.add("a/1.png")
    with pytest.raises(InputError, match="inside the output of photo 'a'"):
        folder.run()
    assert not folder.out.exists()


def test_stages_of_a_photo_run_while_the_network_predicts_the_next(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages of the first photo wait until the second is predicted; a fault of either stays with it."""
    for name in ("1.png", "2.png", "3.png"):
        folder.add(name)
    (folder.predictions / "2.npz").unlink()
    predicted = {str(i): threading.Event() for i in (1, 2, 3)}
    predict, outcome = single_view._predictions, single_view._outcome

    def predictions(photos: list[PhotoJob], *rest: Any) -> Any:
        found = predict(photos, *rest)
        predicted[photos[0].photo.stem].set()
        return found

    def outcome_later(photo: PhotoJob, *rest: Any) -> Outcome:
        following = predicted.get(str(int(photo.photo.stem) + 1))
        assert following is None or following.wait(30), "the network waits for the stages of a photo"
        return outcome(photo, *rest)

    monkeypatch.setattr(single_view, "_predictions", predictions)
    monkeypatch.setattr(single_view, "_outcome", outcome_later)
    assert folder.run() == 1
    assert [(folder.out / str(i) / "mesh.ply").exists() for i in (1, 2, 3)] == [True, False, True]


def test_maps_of_another_program_bring_its_field_of_view(folder: Folder) -> None:
    """A photo without a lens in its EXIF, depth in metres and a field of view as MoGe writes them."""
    OpenEXR = pytest.importorskip("OpenEXR")
    folder.add("1.png")
    (folder.predictions / "1.npz").unlink()
    stored, (height, width) = folder.predictions / "1", plane_prediction(DepthKind.METRIC).shape
    stored.mkdir()
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Y": np.full((height, width), 2, np.float32)}) as file:
        file.write(str(stored / "depth.exr"))
    (stored / "fov.json").write_text('{"fov_x": 71.5, "fov_y": 50.0}')
    plain = [str(folder.photos), "--out", str(folder.out)]
    plain += ["--model", "precomputed", "--predictions", str(folder.predictions)]
    with pytest.raises(InputError, match="only METRIC depth has a unit"):
        run([*plain, "--depth-kind", "SCALE_FREE", "--depth-unit", "m"])
    with pytest.raises(InputError, match=r"\(MoGe\) does not say what its numbers mean"):
        run(plain)
    assert not folder.out.exists()
    assert run([*plain, "--depth-unit", "m"]) == 0
    camera = json.loads((folder.out / "1" / "camera.json").read_text())
    assert camera["source"] == "MoGe (fov.json)"
    assert camera["guessed"] == []
    assert camera["fov_deg"][0] == pytest.approx(71.5)
    assert folder.run("--depth-unit", "m") == 0
    assert json.loads((folder.out / "1" / "camera.json").read_text())["fov_deg"][0] == pytest.approx(FOV_DEG)


def test_tiles_larger_than_photos_are_refused_before_anything(folder: Folder) -> None:
    small = folder.add("small.png")
    options = ["--out", str(folder.out), "--model", "nano", "--device", "cpu", "--tiles", "65", "--quiet"]
    with pytest.raises(InputError, match=r"--tiles 65: small\.png has 64x48 pixels and is smaller than a tile"):
        run([str(small), *options])
    assert not folder.out.exists()
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(folder.photos / "large.png")
    assert run([str(folder.photos), *options, "--only", "predict"]) == 1
    assert (folder.out / "large/prediction.npz").is_file()
    assert not (folder.out / "small/prediction.npz").exists()
