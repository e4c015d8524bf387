"""--export of multi_view and python -m pipelines.export on a finished folder: what is written, kept and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lotus_recon.errors import InputError
from pipelines import export, multi_view
from tests.pipelines.test_command_line import run as run_command
from tests.recipes.scenes import SceneOnDisk, write_scene
from tests.timing import seconds_of_children


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SceneOnDisk:
    scene = write_scene(tmp_path_factory.mktemp("scene"), 4)
    assert multi_view.run(scene.arguments("--export", "nerfstudio")) == 0
    return scene


@pytest.fixture
def copied(finished: SceneOnDisk, tmp_path: Path) -> SceneOnDisk:
    shutil.copytree(finished.out, tmp_path / "out")
    return SceneOnDisk(finished.photos, finished.predictions, finished.poses, tmp_path / "out")


def run_id(out: Path) -> str:
    return str(json.loads((out / "export/stage.json").read_text())["run_id"])


def test_multi_view_exports_and_reports_it(finished: SceneOnDisk) -> None:
    frames = json.loads((finished.out / "export/nerfstudio/transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == [f"images/view_{i}.png" for i in range(4)]
    assert json.loads((finished.out / "export/nerfstudio/README.json").read_text())["unit_of_poses"] == "metres"
    report = json.loads((finished.out / "report/report.json").read_text())
    assert [row["stage"] for row in report["stages"]][-2:] == ["cloud", "export"]
    assert (finished.out / "dense.ply").is_file()


def test_the_same_command_exports_once_and_another_target_again(copied: SceneOnDisk) -> None:
    before = run_id(copied.out)
    assert multi_view.run(copied.arguments("--export", "nerfstudio")) == 0
    assert run_id(copied.out) == before
    assert multi_view.run(copied.arguments("--export", "colmap")) == 0
    assert sorted(path.name for path in (copied.out / "export").iterdir() if path.is_dir()) == ["colmap"]


def test_a_finished_folder_is_exported_beside_what_is_there(
    copied: SceneOnDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.run([str(copied.out), "--to", "colmap,blender"]) == 0
    written = [copied.out / "export" / name for name in ("colmap", "nerfstudio", "blender")]
    assert all(path.is_dir() for path in written)
    assert capsys.readouterr().out.split() == [word for path in written for word in ("export:", str(path))]
    after = run_id(copied.out)
    assert multi_view.run(copied.arguments("--export", "blender,colmap,nerfstudio")) == 0
    assert run_id(copied.out) == after, "the same three targets, in whichever order"


def test_photos_may_be_gone(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 3)
    assert multi_view.run(scene.arguments()) == 0
    shutil.rmtree(scene.photos)
    assert export.run([str(scene.out), "--to", "openmvs", "--quiet"]) == 0
    assert (scene.out / "export/openmvs/scene.mvs").is_file()


def test_what_was_made_with_other_options_is_refused(copied: SceneOnDisk) -> None:
    text = (copied.out / "config.yaml").read_text()
    (copied.out / "config.yaml").write_text(text.replace("min_consistent_views: 1", "min_consistent_views: 2"))
    with pytest.raises(InputError, match="--only export needs consistency"):
        export.run([str(copied.out), "--to", "colmap"])


def test_an_unfinished_run_is_refused(copied: SceneOnDisk) -> None:
    shutil.rmtree(copied.out / "mesh")
    with pytest.raises(InputError, match=r"is not finished: run pipelines.multi_view \(not yet run: mesh\)"):
        export.run([str(copied.out), "--to", "colmap"])


@pytest.mark.parametrize(
    ("folder", "to", "message"),
    [
        ("out", "colmp", r"--to colmp: 'colmp' is no target; did you mean 'colmap'\?; allowed: colmap, openmvs, "),
        ("out", ",", r"--to ',' names no target; allowed: colmap, "),
        ("nothing", "colmap", r"nothing does not exist"),
        (".", "colmap", r"is not an output folder \(--out\) of pipelines.multi_view"),
    ],
)
def test_bad_input_is_refused(copied: SceneOnDisk, folder: str, to: str, message: str) -> None:
    before = run_id(copied.out)
    with pytest.raises(InputError, match=message):
        export.run([str(copied.out.parent / folder), "--to", to])
    assert run_id(copied.out) == before


def test_an_unknown_target_is_refused_before_any_work(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 3)
    with pytest.raises(InputError, match="--export gaussians: 'gaussians' is no target"):
        multi_view.run(scene.arguments("--export", "gaussians"))
    assert not scene.out.exists()


def test_help_is_fast_and_the_exit_status_of_bad_input_is_2() -> None:
    before = seconds_of_children()
    done = run_command("export", "--help")
    assert done.returncode == 0
    assert "--to TARGET[,TARGET]" in done.stdout
    assert seconds_of_children() - before < 2
    refused = run_command("export", "nowhere", "--to", "colmap")
    assert refused.returncode == 2
    assert refused.stderr == "error: nowhere does not exist\n"
    assert run_command("export", "nowhere").returncode == 2


def test_masks_of_the_photos_reach_nerfstudio(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 3)
    (scene.photos / "masks").mkdir()
    used = np.full((72, 96), 255, np.uint8)
    used[10:20, 30:50] = 0
    Image.fromarray(used).save(scene.photos / "masks" / "view 1.png")
    assert multi_view.run(scene.arguments("--export", "nerfstudio")) == 0
    written = [scene.out / "export/nerfstudio/masks" / f"view_{i}.png" for i in range(3)]
    assert [np.asarray(Image.open(path)).min() for path in written] == [255, 0, 255]
    assert np.array_equal(np.asarray(Image.open(written[1])), used)
