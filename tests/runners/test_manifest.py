"""What a manifest may say, and every way in which it may be wrong."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lotus_recon.bounded_yaml import load_bounded
from lotus_recon.errors import InputError
from lotus_recon.recipes.config import MultiViewConfig, SingleViewConfig
from lotus_recon.runners.building import Defaults
from lotus_recon.runners.jobs import SceneJob, check_name, shard_of
from lotus_recon.runners.manifest import ManifestError, read_jobs
from tests.runners.scenes import ROOT, batch, write_manifest, write_photo, write_views

DEFAULTS = Defaults(ROOT / "configs")


def read(manifest: Path, **final: Any) -> list[SceneJob]:
    return read_jobs(str(manifest), DEFAULTS.with_final(final))


def problems(manifest: Path) -> dict[str, str]:
    with pytest.raises(ManifestError) as caught:
        read(manifest)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_options_come_from_preset_defaults_scene_and_command_line(tmp_path: Path) -> None:
    views, photo = write_views(tmp_path, "v0", 2), write_photo(tmp_path, "p1")
    views["options"] = {"tsdf": {"voxel_footprints": 1.5}}
    shared = {"preset": "fast", "options": {"tsdf": {"voxel_footprints": 4.0}, "output": {"depth_range_ratio": 9.0}}}
    manifest = write_manifest(tmp_path, [views, photo], **shared)
    scene, single = (job.config for job in read(manifest, options={"sfm": {"max_size": 111}}))
    assert isinstance(scene, MultiViewConfig)
    assert isinstance(single, SingleViewConfig)
    assert scene.sfm.max_size == 111, "the command line wins over the preset"
    assert scene.sfm.advanced.max_features == 4096, "of the preset"
    assert scene.tsdf.voxel_footprints == 1.5, "the scene wins over the defaults"
    assert single.output.depth_range_ratio == 9.0, "defaults of the other kind are left out, not refused"
    assert scene.prediction.model == "precomputed", "predictions name their model"
    assert scene.sfm.poses == tmp_path / "v0/transforms.json"


def test_scenes_with_equal_options_share_one_configuration(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [{"name": f"s{i}", "images": "p0"} for i in range(2)])
    write_photo(tmp_path, "p0")
    first, second = read(manifest)
    assert first.config is second.config, "thousands of scenes must not take thousands of configurations"


def test_folder_csv_lines_and_yaml_name_the_same_scenes(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        write_photo(tmp_path / "all", name)
    (tmp_path / "all/empty").mkdir()
    base = tmp_path / "all"
    text = f"{base}/p1\n{base}/p2\n"
    ways = [
        read(base),
        read_jobs("-", DEFAULTS, text),
        read_jobs("-", DEFAULTS, f"scenes:\n- {{name: p1, images: {base}/p1}}\n- {{name: p2, images: {base}/p2}}\n"),
    ]
    assert [[job.name for job in jobs] for jobs in ways] == [["p1", "p2"]] * 3
    assert len({tuple((job.kind, job.images) for job in jobs) for jobs in ways}) == 1
    read_csv = base / "m.csv"
    read_csv.write_text("name,images,surface.edge_ratio\np1,p1,3\n")
    with pytest.raises(ManifestError, match="edge_ratio"):
        read(read_csv)
    read_csv.write_text("name,images,output.depth_range_ratio\np1,p1,3\n")
    (job,) = read(read_csv)
    assert isinstance(job.config, SingleViewConfig)
    assert job.config.output.depth_range_ratio == 3.0


def test_every_problem_of_every_scene_is_told_at_once(tmp_path: Path) -> None:
    good = write_photo(tmp_path, "p0")
    (tmp_path / "notes.txt").write_text("no photo")
    scenes: list[Any] = [
        good,
        good,
        {**good, "name": "../x"},
        {**good, "name": "/x"},
        {**good, "name": "a\0b"},
        {**good, "name": "n" * 300},
        {**good, "name": "P0"},
        {**good, "name": "k", "imags": "p0"},
        {"name": "nothing"},
        {"name": "away", "images": "not/there"},
        {"name": "both", "images": "p0", "video": "p0/photo.png"},
        {"name": "text", "images": "notes.txt"},
        {**good, "name": "poses", "poses": "p0"},
        {**good, "name": "option", "options": {"output": {"depth_rang": 3}}},
        {**good, "name": "value", "options": {"output": {"depth_range_ratio": "much"}}},
        {**good, "name": "preset", "preset": "best"},
        {"images": "p0"},
    ]
    found = problems(write_manifest(tmp_path, scenes))
    expected = {
        1: "the scene at scenes[0] has this name",
        2: "leaves the output folder",
        3: "leaves the output folder",
        4: "control character",
        5: "longer than 200 bytes",
        6: "the scene at scenes[0] has this name",
        7: "did you mean 'images'",
        8: "either images or a video",
        9: "does not exist",
        10: "not a video file",
        11: "not a photo",
        12: "belongs to multi_view",
        13: "did you mean 'depth_range_ratio'",
        14: "depth_range_ratio",
        15: "allowed: fast, default, fine",
        16: "needs a name",
    }
    assert list(found) == [f"scenes[{i}]" for i in expected]
    for i, text in expected.items():
        assert text in found[f"scenes[{i}]"]


def test_scenes_may_share_their_photos(tmp_path: Path) -> None:
    photo = write_photo(tmp_path, "p0")
    assert len(read(write_manifest(tmp_path, [photo, {**photo, "name": "again"}]))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "must hold a mapping with 'scenes', not a list"),
        ("just text\n", "must hold a mapping"),
        ("scenes: {a: 1}\n", "'scenes' must be a list of scenes, not a mapping"),
        ("scenes: [a]\n", "must be a mapping, not text"),
        ("scenes: []\n", "names no scene"),
        ("scenes: [{name: a\n", "is not YAML"),
        ("scene: []\n", "did you mean 'scenes'"),
        ("defaults: {name: a}\nscenes: []\n", "unknown key 'name'"),
        ("defaults: {options: {fusion: {voxel: 1}}}\nscenes: []\n", "unknown key 'fusion.voxel'"),
        ("scenes: [{name: a, name: b}]\n", "key 'name' stands twice"),
        ("# only this\n", "is empty"),
        ("scenes: !!python/object/apply:os.system [ls]\n", "is not YAML"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "m.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", ["multi_view"], "kind .'multi_view'. is unknown"),
        ("images", "9" * 5000, "9999: File name too long"),
        ("predictions", "9" * 5000, "9999: File name too long"),
    ],
)
def test_values_that_nothing_could_have_are_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    scene = {**write_photo(tmp_path, "p0"), key: value}
    (said,) = problems(write_manifest(tmp_path, [scene])).values()
    assert re.search(message, said)


def test_aliases_cannot_explode(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    started = time.process_time()
    with pytest.raises(InputError, match="aliases stand for more than"):
        load_bounded("\n".join(lines), "bomb")
    with pytest.raises(InputError, match="inside what it names"):
        load_bounded("a: &a [*a]", "loop")
    with pytest.raises(InputError, match="levels"):
        load_bounded("[" * 300 + "]" * 300, "deep")
    assert time.process_time() - started < 2
    assert load_bounded("a: &a {b: 1}\nc: *a", "fine") == {"a": {"b": 1}, "c": {"b": 1}}


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a machine that does other things
@given(st.recursive(st.integers() | st.text("ab"), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_bounded_yaml_is_yaml(value: Any) -> None:
    assert load_bounded(yaml.safe_dump(value), "here") == value


@given(st.text(max_size=250))
def test_an_allowed_name_stays_in_its_folder(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    out = Path("/out")
    assert (out / name).resolve().parent == out
    assert len(name.encode()) <= 200


@given(st.integers(0, 30), st.integers(1, 8))
def test_shards_are_a_partition(count: int, parts: int) -> None:
    jobs: list[Any] = list(range(count))
    shards = [shard_of(jobs, f"{i}/{parts}") for i in range(1, parts + 1)]
    together: list[Any] = [job for shard in shards for job in shard]
    assert sorted(together) == jobs
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(InputError, match="must be I/N"):
        shard_of([], shard)


def test_nothing_is_written_when_the_manifest_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("scenes: [{name: ../x, images: .}]\n")
    result = batch(tmp_path / "m.yaml", tmp_path / "out")
    assert result.returncode == 2
    assert "../x" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    for source in ("empty", "missing"):
        with pytest.raises(InputError):
            read(tmp_path / source)
