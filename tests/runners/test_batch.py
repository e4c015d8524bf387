"""Batches from start to end: what runs, what is skipped, what is written."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lotus_recon.errors import InputError
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.runners import BatchConfig, SceneJob, run_jobs
from lotus_recon.runners.building import Defaults
from lotus_recon.runners.config import RunnerConfig
from lotus_recon.runners.manifest import read_jobs
from lotus_recon.runners.records import Record, read_record
from lotus_recon.runners.report import write_report
from lotus_recon.runners.tasks import Fault, Finished
from pipelines.batch import run
from tests.io.test_video import pan, picture, write_video  # noqa: F401  a fixture
from tests.runners.scenes import ROOT, contents, events, records, run_ids, write_manifest, write_photo, write_views


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch of two kinds that was run once by two workers: manifest.yaml and out/."""
    root = tmp_path_factory.mktemp("batch")
    manifest = write_manifest(root, [write_views(root, "v0"), write_views(root, "v1"), write_photo(root, "p2")])
    assert run([str(manifest), "--out", str(root / "out"), "--workers", "2", "--quiet"]) == 0
    return root


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The same with an output folder of its own."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path / "out"


def again(finished: Path, out: Path, *more: str) -> list[str]:
    """Stages that run when the batch is run again with more options."""
    before = run_ids(out)
    assert run([str(finished / "manifest.yaml"), "--out", str(out), "--workers", "1", "--quiet", *more]) == 0
    after = run_ids(out)
    return sorted(stage for stage in after if before.get(stage) != after[stage])


def test_the_same_command_again_does_nothing(finished: Path, copied: Path) -> None:
    assert again(finished, copied) == []
    assert [event["event"] for event in events(copied)][-5:] == [
        "batch_started", "up_to_date", "up_to_date", "up_to_date", "batch_finished"
    ]  # fmt: skip


def test_only_what_is_missing_runs(finished: Path, copied: Path) -> None:
    shutil.rmtree(copied / "v0/report")
    shutil.rmtree(copied / "p2/photo")
    assert again(finished, copied) == ["p2/photo", "v0/report"]


@pytest.mark.slow
def test_another_option_runs_what_depends_on_it(finished: Path, copied: Path) -> None:
    assert again(finished, copied, "--set", "tsdf.voxel_footprints=3.0") == [
        f"{scene}/{stage}" for scene in ("v0", "v1") for stage in ("fusion/tsdf", "mesh", "report", "texture")
    ]


def test_only_and_force_run_a_stage_alone(finished: Path, copied: Path) -> None:
    assert again(finished, copied, "--only", "fusion", "--force") == ["v0/fusion/tsdf", "v1/fusion/tsdf"]
    assert records(copied)["v0"]["status"] == "partial"
    missing = [f"{scene}/{stage}" for scene in ("v0", "v1") for stage in ("mesh", "report", "texture")]
    assert again(finished, copied) == missing, "a partial scene is completed by the next run"


def test_only_on_stages_of_other_options_is_refused_before_any_scene_starts(finished: Path, copied: Path) -> None:
    options = ["--only", "report", "--set", "tsdf.voxel_footprints=3.0"]
    before = run_ids(copied), (copied / "v0/config.yaml").read_text()
    assert run([str(finished / "manifest.yaml"), "--out", str(copied), "--workers", "1", "--quiet", *options]) == 2
    assert (run_ids(copied), (copied / "v0/config.yaml").read_text()) == before
    assert "made with --voxel-footprints 2.0 (now 3.0)" in records(copied)["v0"]["message"]


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_number_of_workers(finished: Path, tmp_path: Path) -> None:
    assert run([str(finished / "manifest.yaml"), "--out", str(tmp_path), "--workers", "1", "--quiet"]) == 0
    assert contents(tmp_path) == contents(finished / "out")


@pytest.mark.slow
def test_shards_do_all_scenes_between_them(finished: Path, tmp_path: Path) -> None:
    for part in (1, 2):
        options = ["--shard", f"{part}/2", "--workers", "1", "--quiet"]
        assert run([str(finished / "manifest.yaml"), "--out", str(tmp_path), *options]) == 0
        assert (tmp_path / f"batch_report.{part}-of-2.json").exists()
    assert contents(tmp_path) == contents(finished / "out")
    assert again(finished, tmp_path) == []


def test_a_dry_run_tells_the_stages_and_writes_nothing(
    finished: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "v0/fusion")
    before = sorted(copied.rglob("*"))
    arguments = [str(finished / "manifest.yaml"), "--out", str(copied), "--dry-run"]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    kept = "sfm, frame, images, prediction, alignment, consistency, uncertainty, cloud"
    assert lines[0].startswith(f"v0: run fusion, mesh, texture, report; skip {kept} (about ")
    assert lines[1:3] == ["v1: up to date", "p2: up to date"]
    assert lines[3].startswith("1 of 3 scenes to run, about ")
    assert re.fullmatch(r"disk: about [\d.]+ GB needed, [\d.]+ GB free.*", lines[4])
    assert sorted(copied.rglob("*")) == before


def test_a_batch_is_not_written_over_its_own_photos(tmp_path: Path) -> None:
    write_photo(tmp_path / "scenes", "p0")
    scenes = str(tmp_path / "scenes")
    for more in ([], ["--dry-run"]):
        with pytest.raises(InputError, match=r"p0.* lies in the output folder of scene .*; choose another --out"):
            run([scenes, "--out", scenes, "--quiet", *more])
    assert [path.name for path in (tmp_path / "scenes").iterdir()] == ["p0"]


def test_outputs_below_a_folder_of_scenes_are_no_scenes(finished: Path, tmp_path: Path) -> None:
    write_photo(tmp_path, "p0")
    shutil.copytree(finished / "out", tmp_path / "out")
    assert [job.name for job in read_jobs(str(tmp_path), Defaults(ROOT / "configs"))] == ["p0"]


def test_a_batch_that_cannot_start_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--shard"):
        run([str(finished / "manifest.yaml"), "--out", str(tmp_path / "out"), "--shard", "3/2", "--quiet"])
    assert not (tmp_path / "out").exists()


def test_the_report_tells_of_every_scene(finished: Path) -> None:
    out = finished / "out"
    report = json.loads((out / "batch_report.json").read_text())
    assert [(row["name"], row["status"]) for row in report["scenes"]] == [
        ("v0", "done"),
        ("v1", "done"),
        ("p2", "done"),
    ]
    assert report["scenes"][0]["figures"] == {"photos": 4, "photos given": 4, "aligned": 4}
    assert report["scenes"][0]["seconds"] == pytest.approx(
        sum(json.loads(path.read_text())["seconds"] for path in (out / "v0").rglob("*stage.json")), abs=0.01
    )
    page = (out / "batch_report.html").read_text()
    for name in ("v0/report/index.html", "v0/thumbnail.jpg", "p2/thumbnail.jpg"):
        assert f'"{name}"' in page
        assert (out / name).is_file()
    with (out / "batch_report.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["v0", "v1", "p2"]


def test_reports_escape_what_scenes_are_called(tmp_path: Path) -> None:
    name = "<b>&=1"
    job = SceneJob(name, "single_view", SingleViewConfig(), images=("a.png",))
    (tmp_path / name).mkdir()
    end = Finished(name, Fault.FAILED, "=HYPERLINK(1) <script>\nsecond line")
    Record.of("single_view", "", end, 1, False, "now").write(tmp_path / name)
    write_report(tmp_path, "batch_report", [job], {"failed": 1})
    page = (tmp_path / "batch_report.html").read_text()
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;=1</a>" in page
    assert 'href="%3Cb%3E%26%3D1/"' in page
    with (tmp_path / "batch_report.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["message"] == "'=HYPERLINK(1) <script>", "no formula, first line only"
    assert read_record(tmp_path / name, name, "single_view").fault == "cannot be reconstructed"


def test_jobs_of_a_script(tmp_path: Path) -> None:
    photo = write_photo(tmp_path, "p0")
    manifest_like = SingleViewConfig()
    jobs = [SceneJob("a", "single_view", manifest_like, images=(str(tmp_path / photo["images"]),))]
    result = run_jobs(jobs, tmp_path / "out", BatchConfig(RunnerConfig(workers=1)))
    assert result.counts == {"done": 1}
    assert result.exit_status == 0
    assert (tmp_path / "out/a/photo/mesh.ply").is_file()


def test_a_scene_from_a_video(tmp_path: Path, picture: Any) -> None:  # noqa: F811
    write_video(tmp_path / "pan.mp4", pan(picture, list(range(0, 640, 8))))
    scene = {"name": "clip", "kind": "single_view", "video": "pan.mp4", "frame_motion": 0.5}
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((tmp_path / "pan.mp4").read_bytes()[:5000])
    manifest = write_manifest(tmp_path, [scene, {"name": "broken", "images": "cut.mp4"}])  # a video under either key
    out = tmp_path / "out"
    assert run([str(manifest), "--out", str(out), "--workers", "1", "--quiet"]) == 1
    assert records(out)["broken"]["fault"] == "bad input"
    assert "cut.mp4" in records(out)["broken"]["message"]
    frames = sorted(path.stem for path in (out / "clip/frames").glob("*.jpg"))
    assert len(frames) == 4, "the picture moves by 632 / 320 of its width"
    assert sorted(path.parent.name for path in (out / "clip").glob("*/depth.png")) == frames
    before = run_ids(out)
    assert run([str(manifest), "--out", str(out), "--workers", "1", "--quiet"]) == 1
    assert run_ids(out) == before


def test_a_scene_that_was_refused_runs_once_it_is_repaired(tmp_path: Path) -> None:
    scene = write_photo(tmp_path, "photo1")
    maps = tmp_path / scene["predictions"]
    maps.rename(tmp_path / "elsewhere")
    maps.mkdir()
    (maps / "other.npz").touch()  # so that it is refused before it starts
    command = [str(write_manifest(tmp_path, [scene, write_photo(tmp_path, "photo2")])), "--out", str(tmp_path / "out")]
    assert run([*command, "--workers", "1", "--quiet"]) == 1
    assert (tmp_path / "out/photo1/scene.json").is_file()
    shutil.rmtree(maps)
    (tmp_path / "elsewhere").rename(maps)
    assert run([*command, "--workers", "1", "--quiet"]) == 0
    assert {record["status"] for record in records(tmp_path / "out").values()} <= {"done", "up to date"}


@pytest.mark.slow
def test_the_section_on_batches_runs_as_written(tmp_path: Path) -> None:
    usage = (ROOT / "docs/usage.md").read_text()
    block = re.search(r"## Many scenes\n\n```sh\n(.*?)```", usage, re.DOTALL)
    assert block is not None
    shutil.copytree(ROOT / "data", tmp_path / "data")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    subprocess.run(["bash", "-e", "-c", block[1]], cwd=tmp_path, env=environment, check=True)
    assert {name: one["status"] for name, one in records(tmp_path / "out/batch").items()} == {
        "left": "done", "right": "done"
    }  # fmt: skip


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/batch.md").read_text(), re.DOTALL))
def test_the_manifest_of_the_documentation_has_known_keys(block: str) -> None:
    from lotus_recon.runners.building import SCENE_KEYS

    manifest = yaml.safe_load(block)
    assert all(set(scene) <= set(SCENE_KEYS) for scene in manifest["scenes"])
