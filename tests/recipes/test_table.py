"""The table of stages: which options run which stages again, and what a new stage or back-end takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from PIL import Image

from lotus_recon.config import Runtime
from lotus_recon.recipes.config import MultiViewConfig
from lotus_recon.recipes.engine import missing_stages, run_stages
from lotus_recon.recipes.multi_view import scene_job
from lotus_recon.recipes.table import MULTI_VIEW, SINGLE_VIEW, multi_view_config
from lotus_recon.scene_job import SceneJob
from lotus_recon.stages import StageSpec, reads_of
from lotus_recon.workspace import Workspace
from tests.recipes.scenes import CAMERA, SceneOnDisk, write_scene

ROOT = Path(__file__).resolve().parents[2]
NAMES = [stage.name for stage in MULTI_VIEW]
# The first stages whose result an option of a group changes; those that read them follow. None: no stage.
FIRST = {
    "scene": ["sfm", "prediction"],
    "frames": [],  # the scene is a folder of photos
    "sfm": ["sfm"],
    "frame": ["frame"],
    "undistort": ["images"],
    "prediction": ["prediction"],
    "alignment": ["alignment"],
    "mvs": ["mvs"],
    "adaptation": ["adaptation"],
    "integration": ["integration"],
    "consistency": ["consistency"],
    "fusion": ["fusion"],
    "tsdf": ["fusion"],
    "mesh": ["mesh"],
    "texture": ["texture"],
    "cloud": ["cloud"],
    "maps": ["maps"],
    "export": ["export"],
    "report": ["report"],
    "view": ["report"],
    # The cloud leaves out the same pixels as the mesh.
    "fusion.max_depth_ratio": ["fusion", "cloud"],
    "fusion.crop": ["fusion", "cloud"],
    "fusion.advanced.min_fused_confidence": ["fusion", "cloud"],
    "sfm.add": [],  # how the result comes about
    "scene.include": ["sfm"],
    "scene.exclude": ["sfm"],
    "runtime.device": [],
    "runtime.dtype": ["prediction"],
    "runtime.compile": [],  # the same maps, to rounding
    "runtime.seed": ["sfm"],
    "runtime.deterministic": ["sfm"],
    # What another stage reads of an option of the alignment, it says too.
    "alignment.holdout": ["alignment"],
}
# Options that decide which stages there are, or name files, whose content counts: tested below.
APART = {"fusion.fusion", "mvs.mvs", "texture.texture", "alignment.align", "frame.scale_from"}
# Those that only another model takes.
APART |= {"prediction.model", "prediction.task", "prediction.depth_space", "prediction.revision"}
# Where the next number or a word will not do.
VALUES = {
    "scene.include": "view 0.png",
    "scene.exclude": "view 1.png",
    "prediction.tiles": "auto",
    "prediction.depth_unit": "m",
    "maps.maps": "png16",
    "export.export": "colmap,blender",
    "mvs.advanced.match_size": 64,
    "mesh.max_triangles": 4,
    "texture.texture_size": 1024,
    "tsdf.advanced.truncation_voxels": 6.0,
    "runtime.device": "cpu",
    "runtime.dtype": "float32",
}


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name with its groups, type and value of every option."""
    hints = get_type_hints(type(config))
    for field in fields(config):
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        if is_dataclass(value):
            yield from leaves(value, f"{name}.")
        else:
            yield name, hints[field.name], value


def another(kind: Any, value: Any) -> Any:
    """Another value that the option takes; None for a path."""
    kinds = [part for part in (get_args(kind) if get_origin(kind) not in (None, Literal) else (kind,))]
    choices = [choice for part in kinds if get_origin(part) is Literal for choice in get_args(part)]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool) or bool in kinds:
        return not value
    if isinstance(value, float):
        return value * 1.01 if value else 1e-3
    if isinstance(value, int):
        return value + 1
    if Path in kinds:
        return None
    return 1 if int in kinds else 0.5 if float in kinds else "float32"


def with_value(config: Any, name: str, value: Any) -> Any:
    group, _, rest = name.partition(".")
    changed = with_value(getattr(config, group), rest, value) if rest else value
    return replace(config, **{group: changed})


def after(first: list[str], job: SceneJob) -> list[str]:
    """Those stages, and those that read them."""
    stale: list[str] = []
    for stage in MULTI_VIEW:
        if stage.name == "frames":
            continue
        stages = [other for other in MULTI_VIEW if other.name != "frames"]
        if stage.name in first or any(read.name in stale for read in reads_of(stage, stages)):
            stale.append(stage.name)
    return stale


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SceneOnDisk:
    return write_scene(tmp_path_factory.mktemp("scene"), 2)


@pytest.fixture(scope="module")
def job(scene: SceneOnDisk) -> SceneJob:
    """With every stage but frames."""
    config = with_value(MultiViewConfig(), "fusion.fusion", "normal")
    config = with_value(config, "maps.maps", "png16,exr")
    config = with_value(config, "export.export", "colmap")
    return SceneJob(scene.photos, scene.out, config)


@pytest.fixture(scope="module")
def finished(job: SceneJob) -> Workspace:
    """A folder where every stage has been finished, by doing nothing."""
    workspace = Workspace(job.out)
    run_stages(workspace, [replace(stage, run=lambda context, folder: None) for stage in MULTI_VIEW], job)
    assert missing_stages(workspace, MULTI_VIEW, job) == []
    return workspace


@pytest.mark.parametrize("name", [name for name, _, _ in leaves(MultiViewConfig()) if name not in APART])
def test_an_option_recomputes_what_it_changes_and_nothing_else(name: str, job: SceneJob, finished: Workspace) -> None:
    kind, value = next((kind, value) for leaf, kind, value in leaves(job.config) if leaf == name)
    changed = VALUES.get(name, another(kind, value))
    if changed is None:
        pytest.skip("a path: what counts is the content of the file, see below")
    expected = after(FIRST.get(name, FIRST.get(name.partition(".")[0], ["?"])), job)
    config = with_value(job.config, name, changed)
    changed_job = scene_job(job.source, config, job.out)
    assert missing_stages(finished, MULTI_VIEW, changed_job) == expected


def test_the_world_frame_leaves_cameras_photos_and_predictions_as_they_are(job: SceneJob, finished: Workspace) -> None:
    moved = replace(job, config=with_value(job.config, "frame.scale_from", "view 0.png,view 1.png=2"))
    assert missing_stages(finished, MULTI_VIEW, moved) == after(["frame"], job)
    assert not {"sfm", "images", "prediction"} & set(after(["frame"], job))


def test_what_repeats_bit_for_bit_serves_a_run_that_does_not_ask_for_it(job: SceneJob, tmp_path: Path) -> None:
    exact = replace(job, config=with_value(job.config, "runtime.deterministic", True))
    workspace = Workspace(tmp_path)
    run_stages(workspace, [replace(stage, run=lambda context, folder: None) for stage in MULTI_VIEW], exact)
    assert missing_stages(workspace, MULTI_VIEW, job) == []


def test_files_count_by_their_content(job: SceneJob, finished: Workspace, scene: SceneOnDisk, tmp_path: Path) -> None:
    """The same photos elsewhere change nothing; poses, another photo and a mask do."""
    moved = tmp_path / "photos"
    shutil.copytree(scene.photos, moved)
    assert missing_stages(finished, MULTI_VIEW, replace(job, source=moved)) == []
    posed = replace(job, config=with_value(job.config, "sfm.poses", scene.poses))
    assert missing_stages(finished, MULTI_VIEW, posed) == after(["sfm"], job)
    (moved / "masks").mkdir()
    Image.new("L", CAMERA.size, 255).save(moved / "masks/view 0.png")
    assert missing_stages(finished, MULTI_VIEW, replace(job, source=moved)) == after(["sfm"], job)
    shutil.copy(moved / "view 1.png", moved / "view 0.png")
    assert missing_stages(finished, MULTI_VIEW, replace(job, source=moved)) == after(["sfm"], job)


def test_every_stage_is_described_and_reads_only_what_comes_before_it() -> None:
    tables: tuple[tuple[StageSpec[Any, Any], ...], ...] = (MULTI_VIEW, SINGLE_VIEW)
    for table in tables:
        names = [stage.name for stage in table]
        assert len(set(names)) == len(names)
        for number, stage in enumerate(table):
            assert stage.summary
            assert all(read.name in names[:number] for read in stage.reads or ())


def test_a_stage_cannot_read_what_it_does_not_declare(job: SceneJob, finished: Workspace) -> None:
    from lotus_recon.consistency.spec import CONSISTENCY
    from lotus_recon.fusion.spec import FUSION
    from lotus_recon.stages import Context

    context = Context(finished, job, MULTI_VIEW).read_by(CONSISTENCY)
    with pytest.raises(AssertionError, match="'consistency' reads 'fusion' and does not declare it"):
        context.folder(FUSION)


TOYS = '''
"""A stage that counts the photos that were registered, and a back-end that fuses nothing but a square."""
from dataclasses import dataclass
from pathlib import Path
import json, sys
from typing import Annotated
import numpy as np
from annotated_types import Gt, Unit
import lotus_recon.fusion.backends as backends
import lotus_recon.recipes.table as table
from lotus_recon.fusion.backends.base import Backend
from lotus_recon.options import Options
from lotus_recon.sfm.spec import FRAME
from lotus_recon.stages import StageSpec, options_of

@dataclass(frozen=True)
class CountConfig(Options):
    """How photos are counted."""

    # What is added to the number of photos.
    count_offset: int = 5

def run_count(context, folder):
    count = len(context[FRAME].scene.views) + context.options(CountConfig).count_offset
    (folder / "count.json").write_text(json.dumps(count))
    return count

COUNT = StageSpec(
    name="count", summary="number of photos", run=run_count, reads=(FRAME,), group=("count", CountConfig),
    load=lambda folder: json.loads((folder / "count.json").read_text()),
    options=lambda job: options_of(job.config, CountConfig),
)

@dataclass(frozen=True)
class SquareConfig(Options):
    """The square."""

    # Edge of the square in units of the scene.
    square_edge: Annotated[float, Gt(0), Unit("units of the scene")] = 1.0

def fuse_square(views, config, options, runtime):
    from lotus_recon.types import Mesh
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32) * options.square_edge
    mesh = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.zeros((4, 3), np.uint8))
    return mesh, {"seconds": {}, "pixel_footprint": 1.0}

SQUARE = Backend("square", "a square", fuse_square, group=("square", SquareConfig))

# In the package each is a file, and its name in a tuple:
table.MULTI_VIEW = (*table.MULTI_VIEW[:-1], COUNT, table.MULTI_VIEW[-1])
backends.BACKENDS = table.BACKENDS = (*backends.BACKENDS, SQUARE)
pipeline = __import__(f"pipelines.{sys.argv[1]}", fromlist=["run"])
sys.exit(pipeline.run(sys.argv[2:]))
'''


def with_toys(folder: Path, pipeline: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A pipeline whose tables have one stage and one back-end more."""
    script = folder / "toys.py"
    script.write_text(TOYS)
    command = [sys.executable, str(script), pipeline, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )


def test_a_new_stage_and_a_new_backend_are_one_file_and_one_name(tmp_path: Path) -> None:
    scene = write_scene(tmp_path, 4)
    toys = ["--count-offset", "7", "--fusion", "square", "--square-edge", "2"]
    done = with_toys(tmp_path, "multi_view", *scene.arguments(*toys))
    assert done.returncode == 0, done.stderr
    assert (scene.out / "count/count.json").read_text() == "11"
    assert (scene.out / "fusion/square/mesh.ply").is_file()
    assert '"count"' in (scene.out / "report/report.json").read_text(), "the report tells of it"
    assert "count_offset: 7" in (scene.out / "config.yaml").read_text()
    again = with_toys(tmp_path, "multi_view", *scene.arguments(*toys[:1], "8", *toys[2:], "--only", "count"))
    assert again.returncode == 0, again.stderr
    assert (scene.out / "count/count.json").read_text() == "12"
    wrong = with_toys(tmp_path, "multi_view", *scene.arguments("--only", "counts"))
    assert "did you mean 'count'" in wrong.stderr
    shown = with_toys(tmp_path, "multi_view", "--help-all")
    assert "--count-offset" in shown.stdout
    assert "--fusion {tsdf,normal,square}" in shown.stdout
    assert "--square-edge" in shown.stdout
    plan = with_toys(tmp_path, "batch", str(_manifest(tmp_path, scene)), "--out", str(tmp_path / "b"), "--dry-run")
    assert "mesh, texture, cloud, count, report" in plan.stdout, plan.stderr


def _manifest(folder: Path, scene: SceneOnDisk) -> Path:
    import yaml

    entry = {"name": "s", "images": str(scene.photos), "predictions": str(scene.predictions), "poses": str(scene.poses)}
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump({"scenes": [entry]}, allow_unicode=True))
    return path


def test_the_configuration_has_a_group_for_every_stage_that_brings_one() -> None:
    assert multi_view_config() is MultiViewConfig
    assert {field.name for field in fields(MultiViewConfig)} >= {"sfm", "frame", "mesh", "frames"}
    assert Runtime in {type(getattr(MultiViewConfig(), field.name)) for field in fields(MultiViewConfig)}


def test_the_documentation_shows_the_tables_as_they_are() -> None:
    from scripts.docs_tables import ARCHITECTURE, TROUBLESHOOTING, with_tables

    for page, row in ((ARCHITECTURE, "| report |"), (TROUBLESHOOTING, "| coarser voxels |")):
        text = page.read_text()
        assert with_tables(text) == text, "run 'make docs'"
        assert text.count(row) == 1
