"""python -m pipelines.evaluate: help, refusals, and a whole run of both loops on a folder of photos with depth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lotus_recon.config import load_config
from lotus_recon.datasets.benchmarks.registry import DEPTH, NORMALS
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import AlignmentEvalConfig, MapsConfig, SurfaceConfig
from lotus_recon.io.images import write_png
from lotus_recon.options import leaf_options
from pipelines.evaluate import _TASKS, AlignmentArguments, _shown, run
from tests.timing import seconds_of_children

TASKS = ("depth", "normals", "reconstruction", "poses", "alignment")
CONFIGS = Path(__file__).resolve().parents[2] / "configs/eval"


@pytest.mark.parametrize("task", ["", *TASKS])
def test_help_is_fast_and_loads_no_torch(task: str) -> None:
    code = (
        "import sys, atexit; sys.argv = ['evaluate', *sys.argv[1:]]\n"
        "atexit.register(lambda: sys.stderr.write('LOADED' if 'torch' in sys.modules else ''))\n"
        "from pipelines.evaluate import run; from pipelines.command_line import main; main(run)"
    )
    before = seconds_of_children()
    words = [task, "--help-all"] if task else ["--help"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert "LOADED" not in done.stderr
    assert ("--out" in done.stdout) == bool(task)
    options = list(leaf_options(_TASKS[task][1])) if task else []
    assert all(option.flag[2:] in done.stdout for option in options)
    assert seconds_of_children() - before < 2


def test_no_task_is_refused_with_the_list_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    printed = capsys.readouterr().out
    assert all(task in printed for task in TASKS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos with depth, as a folder set."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        rgb = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        write_png(tmp_path / f"set/rgb/{name}.png", rgb)
        write_png(tmp_path / f"set/depth/{name}.png", rng.integers(900, 3000, (48, 64)).astype(np.uint16))
    spec = "depth_unit_m: 0.001\nnormals_from_depth: true\nfx: 60\nfy: 60\ncx: 32\ncy: 24\n"
    (tmp_path / "set/dataset.yaml").write_text(spec)
    return tmp_path


def test_both_loops_from_the_command_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--sets", "[{kind: folder, root: set}]", "--data", str(photos), "--out", str(photos / "out"), "--quiet"]
    assert run(["depth", *words, "--shard", "1/2"]) == 0
    maps = photos / "out/prediction/nano/folder"
    assert [path.name for path in maps.glob("*.npz")] == ["a.npz"]
    assert not (photos / "out/depth").exists()
    with pytest.raises(InputError, match=r"1 of 2 photos have no prediction.*b\.npz"):
        run(["depth", *words, "--only", "score"])
    assert run(["depth", *words]) == 0
    summary = json.loads((photos / "out/depth/folder/summary.json").read_text())
    assert summary["photos"] == 2
    assert summary["protocol"]["align"] == "auto"
    assert len(list((photos / "out/depth/folder/worst").glob("*.png"))) == 2
    made = (maps / "a.npz").stat().st_mtime_ns
    assert run(["normals", *words]) == 0
    assert (maps / "a.npz").stat().st_mtime_ns == made  # the maps serve both tasks
    elsewhere = ["--predictions", str(maps), "--label", "theirs", "--out", str(photos / "other")]
    assert run(["depth", *words[:4], *elsewhere, "--quiet"]) == 0
    assert "theirs" in (photos / "other/depth/table.md").read_text()
    assert (photos / "other/depth/folder/photos.csv").read_text() == (
        photos / "out/depth/folder/photos.csv"
    ).read_text()
    with pytest.raises(InputError, match="seed 0, now 1"):
        raise_of(["depth", *words, "--seed", "1"])


def test_what_a_killed_run_left_goes_with_the_next_but_for_that_of_other_shards(photos: Path) -> None:
    words = ["--sets", "[{kind: folder, root: set}]", "--data", str(photos), "--out", str(photos / "out"), "--quiet"]
    maps, scores = photos / "out/prediction/nano/folder", photos / "out/depth"
    assert run(["depth", *words, "--shard", "1/2"]) == 0
    own, of_others, table = maps / ".01234567-a.npz", maps / ".01234567-b.npz", scores / ".01234567-table.md"
    scores.mkdir()
    for path in (own, of_others, table):
        path.touch()
    assert run(["depth", *words, "--shard", "1/2"]) == 0
    assert (own.exists(), of_others.exists(), table.exists()) == (False, True, True)
    assert run(["depth", *words]) == 0
    assert not of_others.exists()
    assert not table.exists()


def raise_of(words: list[str]) -> None:
    """Do what a run does after its checks, without the exit status."""
    from lotus_recon.evaluation.maps_job import check_job, run_job
    from pipelines.command_line import parse
    from pipelines.evaluate import MapsArguments

    arguments = parse(lambda options: MapsArguments(options=options), MapsConfig(), "evaluate depth", words[1:])
    run_job(check_job("depth", arguments.options, arguments.out))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "depth, normals"),
        (["depth"], "no set"),
        (["depth", "--sets", "[{kind: folder, root: nowhere}]"], "nowhere"),
        (["depth", "--sets", "[{kind: nyuv2}]"], "filename_list_test"),
        (["depth", "--sets", "[{kind: folder, root: nowhere}]", "--shard", "5/4"], "--shard"),
        (["depth", "--sets", "[{kind: x}]", "--model", "lotus-normal-d-v1-1"], "this task needs depth"),
        (["reconstruction"], "--pred and --reference"),
        (["poses", "--pred", "nowhere.json", "--reference", "x.json"], "nowhere"),
        (["alignment"], "--scene"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run([*words, *(["--out", str(tmp_path / "out")] if words != ["nothing"] else [])])
    assert not (tmp_path / "out").exists()


def test_scores_do_not_go_into_a_stage_of_a_reconstruction(tmp_path: Path) -> None:
    (tmp_path / "alignment").mkdir()
    (tmp_path / "alignment/stage.json").write_text("{}")
    with pytest.raises(InputError, match="--out another folder"):
        _shown("alignment", AlignmentArguments(options=AlignmentEvalConfig(), out=tmp_path), lambda folder: None)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("lotus-*.yaml")), ids=lambda path: path.stem)
def test_every_config_names_known_sets_and_their_lists(path: Path) -> None:
    config = load_config(MapsConfig, path)
    assert config.sets
    for part in config.sets:
        assert part.kind in {*DEPTH, *NORMALS}
        assert part.file_list is not None


@pytest.mark.parametrize("path", sorted({*CONFIGS.glob("*.yaml")} - {*CONFIGS.glob("lotus-*.yaml")}))
def test_every_other_config_is_of_reconstructions(path: Path) -> None:
    assert load_config(SurfaceConfig, path).thresholds
