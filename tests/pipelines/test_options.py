"""Options cannot be wrong: every number refuses what it does not allow, in one form; old names work; help fits."""

from __future__ import annotations

import functools
import json
import logging
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from lotus_recon.config import load_config, overlaid
from lotus_recon.datasets.rgbd_folder import FolderSpec
from lotus_recon.errors import InputError
from lotus_recon.evaluation.config import MapsConfig
from lotus_recon.integration.config import IntegrationConfig
from lotus_recon.options import OptionError, leaf_options, nested
from lotus_recon.recipes.config import SingleViewConfig
from lotus_recon.recipes.table import multi_view_config
from lotus_recon.renamed import RENAMED, RENAMED_VALUES, old_flags, old_keys, warn_of_old_name
from lotus_recon.runners.building import Defaults
from lotus_recon.runners.manifest import read_jobs
from pipelines import batch, multi_view, option_docs, single_view
from pipelines.parsing import parse_arguments, take_old_options
from tests.pipelines.option_walk import PIPELINES, numbers_of

ROOT = Path(__file__).resolve().parents[2]
PROG = "python -m pipelines.x"


@functools.cache
def walked() -> list[Any]:
    command = [sys.executable, "-m", "tests.pipelines.option_walk"]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()]


@pytest.mark.slow
def test_every_number_refuses_what_is_below_above_and_not_finite() -> None:
    *tries, torch_was_imported = walked()
    assert {pipeline for pipeline, *_ in tries} == set(PIPELINES)
    wrong = [
        one
        for one in tries
        for _, option, value, status, message in [one]
        if status != 2 or not re.search(rf"error: .*{re.escape(option)} {re.escape(value)}: must be .*number", message)
    ]
    assert not wrong
    assert not torch_was_imported


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_number_states_its_limits(pipeline: str) -> None:
    for option in {option.name: option for group in numbers_of(pipeline) for option in group}.values():
        assert option.limits is not None, option
        if option.kind is int:
            assert math.isfinite(option.limits.low), f"{option.name}: what it counts starts somewhere"
            assert math.isfinite(option.limits.high), f"{option.name}: C++ libraries take 32 bits"


@pytest.mark.parametrize("kind", [IntegrationConfig, FolderSpec])
def test_groups_outside_of_the_pipelines_state_their_limits_too(kind: Any) -> None:
    assert all(option.limits is not None for option in leaf_options(kind) if option.is_number)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--fov-deg", "abc"], "--fov-deg abc: must be a number in degrees, from 0.01 to 179.9"),
        (["--fov-deg", "-inf"], "--fov-deg -inf: must be a number in degrees, from 0.01 to 179.9"),
        (["--max_size=-1"], "--max-size -1: must be a whole number in pixels, from 0 to 65536"),
        (["--image-quality", "900"], "--image-quality 900: must be a whole number in percent, from 1 to 100"),
        (["--report-views", "-4"], "--report-views -4: must be a whole number, from 0 to 10000"),
        (["--check-neighbours", "-1"], "--check-neighbours -1: must be a whole number, from 1 to 1000"),
        (["--min-confirmed-share", "5"], "--min-confirmed-share 5: must be a number, from 0 to 1"),
        (["--ransac-iterations", "2.5"], "--ransac-iterations 2.5: must be a whole number, from 1 to 1000000"),
        (["--min-confidence", "1.5"], "--min-confidence 1.5: must be a number, from 0 to 1"),
        (["--refine-size", "63"], "--refine-size 63: must be a whole number in pixels, from 64 to 65536, or 0"),
        (["--mapper", "both"], "--mapper both: must be one of incremental, global"),
        (["--fov-deg"], "--fov-deg: needs a value; it must be a number in degrees"),
        (["--guard-tolerance"], "--guard-tolerance: needs a value; it must be a number, from 1 to 1000"),
        (["--fov-dge", "60"], "unknown option --fov-dge; did you mean --fov-deg?"),
        (["-k"], "unknown option -k; see python -m pipelines.multi_view --help-all"),
        (["second-folder"], "give FOLDER|VIDEO, and each option its value"),
    ],
)
def test_a_mistake_is_told_in_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        multi_view.run(["photos", *argv])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_values_that_do_not_fit_each_other_are_told_with_the_flag() -> None:
    run = PIPELINES["make_rooms"][0]
    with pytest.raises(OptionError, match=r"^--jpeg-lowest 99: must be at most jpeg_highest, 95$"):
        run(["--out", "rooms", "--jpeg-lowest", "99"])
    message = r"^x: consistency\.advanced\.min_agreement 0\.2: must be at most max_agreement, 0\.03$"
    with pytest.raises(InputError, match=message):
        overlaid(multi_view_config()(), {"consistency": {"advanced": {"min_agreement": 0.2}}}, "x")


def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("output:\n  max_size: 300\n  depth_range_ratio: 7\n  max_size: 400\n")
    with pytest.raises(InputError, match=r"config file .*c\.yaml, line 4: key 'max_size' stands twice"):
        load_config(SingleViewConfig, file)
    manifest = tmp_path / "scenes.yaml"
    manifest.write_text("scenes:\n- name: a\n  images: a\n  name: b\n")
    with pytest.raises(InputError, match=r"manifest .*scenes\.yaml, line 4: key 'name' stands twice"):
        read_jobs(str(manifest), Defaults(ROOT / "configs"))
    with pytest.raises(InputError, match=r"fusion\.voxel_size is set twice"):
        batch.run([str(tmp_path), "--set", "fusion.voxel_size=1", "fusion.voxel_size=2", "--out", str(tmp_path / "o")])


@pytest.mark.parametrize(
    "manifest",
    [
        "scenes: [{name: a, images: a, kind: single_view, options: {camera: {fov_deg: 200}}}]",
        "defaults: {options: {camera: {fov_deg: 200}}}\nscenes: [{name: a, images: a, kind: single_view}]",
        # of the other kind only: told all the same
        "defaults: {options: {sfm: {fov_deg: 200}}}\nscenes: [{name: a, images: a, kind: single_view}]",
        "name,images,kind,camera.fov_deg\na,a,single_view,200\n",
    ],
)
def test_a_manifest_refuses_what_the_command_line_refuses(manifest: str, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "a/a.png")
    file = tmp_path / f"m.{'csv' if manifest.startswith('name') else 'yaml'}"
    file.write_text(manifest)
    with pytest.raises(InputError, match=r"fov_deg 200: must be a number in degrees, from 0.01 to 179.9"):
        read_jobs(str(file), Defaults(ROOT / "configs"))


CONFIGS: dict[str, Any] = {"multi_view": multi_view_config(), "single_view": SingleViewConfig}


def other_than_default(option: Any, config: Any) -> Any:
    """A value that is allowed beside the defaults of its group."""
    for name in option.path:
        config = getattr(config, name)
    if option.kind is bool:
        return True
    if option.choices:
        return option.choices[-1]
    if not option.is_number:
        return "text"
    step = 1 if option.kind is int else 0.1 * (config or 1)
    near = [max(option.limits.low, 4)] if config is None else [config - step, config + step, option.limits.low]
    return next(value for value in near if option.limits.hold(value) and value != config)


@pytest.mark.parametrize("old", sorted({key for config in CONFIGS.values() for key in old_keys(config)}))
def test_an_old_key_works_and_names_the_new_one(old: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_old_name.cache_clear()
    config = next(kind for kind in CONFIGS.values() if old in old_keys(kind))
    option = old_keys(config)[old]
    value = other_than_default(option, config())
    with caplog.at_level(logging.WARNING, logger="lotus_recon"):
        found: Any = overlaid(config(), nested([(tuple(old.split(".")), value)]), "config file c.yaml")
    for name in option.path:
        found = getattr(found, name)
    assert found == value
    assert f"config file c.yaml: {old} is now {option.key}" in caplog.text


@pytest.mark.parametrize("old", sorted(set(RENAMED)))
def test_every_renamed_option_exists_under_its_new_name_only(old: str) -> None:
    keys = {option.key for config in CONFIGS.values() for option in leaf_options(config)}
    assert RENAMED[old] in keys
    assert old not in keys


@pytest.mark.parametrize("pipeline", CONFIGS)
def test_an_old_flag_works_and_names_the_new_place(pipeline: str, caplog: pytest.LogCaptureFixture) -> None:
    config = CONFIGS[pipeline]
    for flag, option in old_flags(config).items():
        warn_of_old_name.cache_clear()
        caplog.clear()
        value = other_than_default(option, config())
        given = [flag] if option.kind is bool else [flag, str(value)]
        with caplog.at_level(logging.WARNING, logger="lotus_recon"):
            found, rest = take_old_options(config(), ["photos", *given, "--quiet"])
        assert rest == ["photos", "--quiet"], flag
        for name in option.path:
            found = getattr(found, name)
        assert found == value, flag
        assert f"{flag} is now {option.key if option.is_advanced else option.flag}" in caplog.text


def test_old_and_new_name_together_are_refused() -> None:
    both = {"output": {"far_over_near": 3.0, "depth_range_ratio": 4.0}}
    with pytest.raises(InputError, match=r"output\.far_over_near is the old name of output\.depth_range_ratio"):
        overlaid(SingleViewConfig(), both, "c.yaml")


def test_an_old_word_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert RENAMED_VALUES == {"holes": {"leave_out": "skip"}}
    warn_of_old_name.cache_clear()
    (tmp_path / "c.yaml").write_text("holes: leave_out\n")
    with caplog.at_level(logging.WARNING, logger="lotus_recon"):
        assert load_config(MapsConfig, tmp_path / "c.yaml").holes == "skip"
    assert "holes: leave_out is now skip" in caplog.text
    arguments: Any = PIPELINES["evaluate depth"][2]
    assert parse_arguments(arguments(), ["--holes", "leave_out"], PROG).options.holes == "skip"


def test_the_command_line_wins_by_an_old_name_too(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("integration: {integration_scale: 0.2, advanced: {point_weight: 3}}\n")
    config = load_config(SingleViewConfig, tmp_path / "c.yaml")
    config, _ = take_old_options(config, ["--normals-reach", "0.4"])
    assert config.integration.integration_scale == 0.4
    assert config.integration.advanced.point_weight == 3


def test_yaml_may_say_on_and_off_and_numbers_without_a_point(tmp_path: Path) -> None:
    """YAML 1.1 reads the first as truth and the second as text."""
    (tmp_path / "c.yaml").write_text("consistency: {check_depth: off}\nmesh: {min_island_ratio: 1e-3}\n")
    config: Any = load_config(multi_view_config(), tmp_path / "c.yaml")
    assert (config.consistency.check_depth, config.mesh.min_island_ratio) == ("off", 0.001)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_help_is_one_screen_and_help_all_shows_everything(pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = PIPELINES[pipeline][0]
    printed = []
    for argument in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as ended:
            run([argument])
        assert ended.value.code == 0
        printed.append(capsys.readouterr().out.rstrip("\n"))
    short, full = printed
    assert all(len(line) <= 100 for line in [*short.splitlines(), *full.splitlines()])
    assert len(short.splitlines()) <= 45
    typed, in_yaml = numbers_of(pipeline)
    for option in typed:
        assert option.limits is not None
        row = full[full.index(f"\n  {option.flag} ") :].replace("\n" + " " * 26, " ")
        if option.limits.as_interval:
            assert option.limits.as_interval in row[: row.index("\n", 1)], option.flag
    assert all(re.search(rf"\n  {re.escape(option.key)}[ \n]", full) for option in in_yaml if option.is_advanced)


def test_advanced_options_are_not_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="unknown option --advanced"):
        multi_view.run(["photos", "--advanced", "3"])
    with pytest.raises(SystemExit):
        single_view.run(["--help-all"])
    assert "--point-weight" not in capsys.readouterr().out


def test_the_page_of_options_is_up_to_date() -> None:
    assert (ROOT / "docs/options.md").read_text() == option_docs.page(), "run: python -m pipelines.option_docs"


def test_the_page_shows_advanced_options_as_a_user_writes_them() -> None:
    content = yaml.safe_load("alignment: {advanced: {ransac_iterations: 1000}}")
    assert overlaid(multi_view_config()(), content, "x").alignment.advanced.ransac_iterations == 1000
    assert "`alignment.advanced.ransac_iterations`" in option_docs.page()


def test_a_config_of_the_release_before_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has every option of the old search."""
    file = tmp_path / "config.yaml"
    file.write_text("refinement: {refine: false, advanced: {passes: 1, sgm_p1: 0.03, best_sources: 3}}\n")
    config: Any = load_config(multi_view_config(), file)
    assert (config.mvs.mvs, config.mvs.advanced.passes) == (False, 1)
    assert "refinement.advanced.sgm_p1 went with the old search" in caplog.text


@pytest.mark.parametrize("options", [["--only", "mvs", "--no-mvs"], ["--from", "integration"]])
def test_a_stage_that_the_options_leave_out_is_refused_before_anything_is_written(
    tmp_path: Path, options: list[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 48)).save(photos / name)
    with pytest.raises(InputError, match="has no such stage"):
        multi_view.run([str(photos), "--out", str(out), *options])
    assert not out.exists()


def test_no_arguments_get_one_line() -> None:
    with pytest.raises(InputError, match=r"^give FOLDER"):
        multi_view.run([])
