"""How long stages will take: from measured costs, and from what they took on this machine before."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lotus_recon.config import Runtime
from lotus_recon.recipes import estimates
from lotus_recon.recipes.engine import run_stages
from lotus_recon.recipes.estimates import Pace, Schedule, lines_of_estimates
from lotus_recon.stages import Cost, StageSpec, Work
from lotus_recon.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data/sample/images"
WORK = Work(photos=10, megapixels=5.0)


@dataclass(frozen=True)
class Config:
    runtime: Runtime = field(default_factory=lambda: Runtime(device="cpu"))


@dataclass(frozen=True)
class Job:
    config: Config = field(default_factory=Config)
    label: str = ""


def stage(name: str, cost: Cost, reads: tuple[Any, ...] = ()) -> StageSpec[Job, None]:
    return StageSpec(
        name, "", run=lambda context, folder: None, load=lambda folder: None, options=lambda job: None,
        reads=reads, cost=lambda job: cost,
    )  # fmt: skip


FIRST = stage("first", Cost(2.0, seconds_per_photo=1.0, seconds_per_megapixel=4.0, disk_mb_per_megapixel=100.0))
SECOND = stage("second", Cost(10.0), (FIRST,))
TABLE = (FIRST, SECOND)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def seconds(pace: Pace) -> list[float]:
    return [each.seconds for each in estimates.estimates(TABLE, Job(), WORK, "cpu", pace)]


def test_a_new_machine_is_taken_for_the_one_that_was_measured() -> None:
    assert seconds(Pace.load()) == [2 + 10 + 20, 10]


def test_a_machine_is_learnt_from_what_stages_took_on_it() -> None:
    Pace.load().learn("first", "cpu", expected_s=10, took_s=30)
    assert seconds(Pace.load()) == pytest.approx([96, 30]), "a stage that never ran here is slow like the others"
    Pace.load().learn("second", "cpu", expected_s=10, took_s=5)
    assert seconds(Pace.load()) == pytest.approx([96, 5])
    Pace.load().learn("first", "cpu", expected_s=10, took_s=10)
    assert seconds(Pace.load()) == pytest.approx([64, 5]), "half of the last run, half of those before"
    assert Pace.load().of("first", "cuda") == 1.0, "another device is another machine"


def test_a_stage_that_gives_up_when_it_is_slow_is_bound_by_those_before_it() -> None:
    """Also where those before it are done already."""
    giving_up = stage("third", Cost(30.0, most_of_before=0.5), (SECOND,))
    table = (*TABLE, giving_up)
    assert [each.seconds for each in estimates.estimates(table, Job(), WORK, "cpu", Pace())] == [32, 10, 21]
    (last,) = estimates.estimates(table, Job(), WORK, "cpu", Pace(), due={"third"})
    assert last.seconds == 21
    assert Schedule(table, {"third"}, Job(), WORK, "cpu").place_of("third") == "3 of 3, about 21.0 s left"
    for seconds, expected in ((6.0, 6), (1000.0, 5)):  # quick enough; so slow that it gives up for certain
        other = (*TABLE, stage("third", Cost(seconds, most_of_before=0.5)))
        assert estimates.estimates(other, Job(), WORK, "cpu", Pace())[-1].seconds == expected


def test_moments_teach_nothing(cache: Path) -> None:
    Pace.load().learn("first", "cpu", expected_s=0.2, took_s=3)
    assert not cache.exists()


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"cpu first": "fast"}', '{"cpu first": -1}', "\udcff", '{"cpu first": [1]}']
)
def test_notes_that_cannot_be_read_are_forgotten(cache: Path, text: str) -> None:
    cache.mkdir()
    (cache / "pace.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert Pace.load().of("first", "cpu") == 1.0


def test_no_cache_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOTUS_RECON_CACHE", str(tmp_path / "file/below"))
    Pace.load().learn("first", "cpu", 10, 20)
    assert seconds(Pace.load()) == [32, 10]


def test_the_time_left_is_that_of_the_stages_that_are_due() -> None:
    schedule = Schedule(TABLE, {"first", "second"}, Job(), WORK, "cpu")
    assert schedule.place_of("first") == "1 of 2, about 42.0 s left"
    schedule.done("first", took_s=64)
    assert schedule.place_of("second") == "2 of 2, about 20.0 s left", "twice as slow as thought"
    assert Schedule(TABLE, {"second"}, Job(), WORK, "cpu").place_of("first") == "1 of 2"


def test_a_run_says_where_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "_SHORTEST_S", 1e9)  # whatever a busy machine takes teaches nothing
    caplog.set_level(logging.INFO, "lotus_recon")
    run_stages(Workspace(tmp_path / "out"), TABLE, Job(), work=WORK)
    assert caplog.messages == [
        "first (1 of 2, about 42.0 s left): running",
        "second (2 of 2, about 10.0 s left): running",
    ]
    caplog.clear()
    run_stages(Workspace(tmp_path / "out"), TABLE, Job(), from_stage="second", work=WORK)
    assert caplog.messages == ["first (1 of 2): up to date", "second (2 of 2, about 10.0 s left): running"]


def test_a_disk_that_is_too_small_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = estimates.estimates(TABLE, Job(), WORK, "cpu", Pace())
    assert lines_of_estimates(found, tmp_path / "new")[-1].startswith(
        "about 42.0 s on this machine, 1.0 GB of memory (first), 0.50 GB"
    )
    monkeypatch.setattr(estimates, "free_disk_gb", lambda out: 0.4)
    assert lines_of_estimates(found, tmp_path)[-1].endswith("NOT ENOUGH")
    assert lines_of_estimates([], tmp_path) == ["everything is up to date"]


def test_no_stage_of_the_pipeline_costs_nothing() -> None:
    """Of those that work on every photo; a new stage says what it costs."""
    from lotus_recon.recipes.multi_view import scene_job
    from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config

    job = scene_job(SAMPLE, multi_view_config()(), Path("out"))
    free = {each.name for each in MULTI_VIEW if each.cost(job) == Cost()}
    assert free == {"frame", "images"}


@pytest.mark.parametrize(
    ("preset", "stereo_s", "whole_s"),
    [("fast", 35.5, 104), ("default", 185.6, 430)],  # seconds of the sample on two cores, as their stage.json had them
)
def test_estimates_of_the_sample_are_what_it_took(preset: str, stereo_s: float, whole_s: float, tmp_path: Path) -> None:
    from lotus_recon.config import load_config
    from lotus_recon.recipes.multi_view import scene_job
    from lotus_recon.recipes.table import MULTI_VIEW, multi_view_config

    config = load_config(multi_view_config(), ROOT / f"configs/multi_view/{preset}.yaml")
    job = scene_job(SAMPLE, config, tmp_path)
    due = [stage for stage in MULTI_VIEW if stage.wanted(job)]
    found = {each.stage: each.seconds for each in estimates.estimates(due, job, Work(18, 18 * 0.3072), "cpu", Pace())}
    for expected, took in ((found["mvs"], stereo_s), (sum(found.values()), whole_s)):
        assert took / 1.5 < expected < took * 1.5


def test_tiles_and_ensembles_are_foretold() -> None:
    from lotus_recon.models.config import PredictionConfig
    from lotus_recon.models.spec import PREDICTION
    from lotus_recon.recipes.multi_view import scene_job
    from lotus_recon.recipes.table import multi_view_config

    def per_photo(**options: Any) -> float:
        config = replace(multi_view_config()(), prediction=PredictionConfig(**options))
        return PREDICTION.cost(scene_job(SAMPLE, config, Path("out"))).seconds_per_photo

    once = per_photo()
    assert per_photo(ensemble=4) == pytest.approx(4 * once)
    assert per_photo(tiles="auto", ensemble=2) == pytest.approx(2 * per_photo(tiles="auto"))
    assert per_photo(tiles="auto") > per_photo(tiles="400") > once


def test_stereo_costs_what_its_options_make_it_search() -> None:
    """A search at half the size has a quarter of the pixels; what is left is the completion, at full size."""
    from lotus_recon.mvs.config import AdvancedMvs, MvsConfig
    from lotus_recon.mvs.spec import MVS
    from lotus_recon.recipes.multi_view import scene_job
    from lotus_recon.recipes.table import multi_view_config

    def per_megapixel(**options: int) -> float:
        config = replace(multi_view_config()(), mvs=MvsConfig(advanced=AdvancedMvs(**options)))
        return MVS.cost(scene_job(Path("photos"), config, Path("out"))).seconds_per_megapixel

    full, half, smaller = (per_megapixel(match_size=size) for size in (1024, 512, 256))
    assert per_megapixel() == full
    assert half - smaller == pytest.approx((full - half) / 4)
    assert full > per_megapixel(passes=1) > per_megapixel(passes=1, sources=4)
