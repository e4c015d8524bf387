"""What a batch would do: stages, seconds and disk, told before anything starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lotus_recon.errors import ReconError
from lotus_recon.progress import duration
from lotus_recon.recipes.base import Selection
from lotus_recon.recipes.estimates import Estimate, free_disk_gb
from lotus_recon.runners.config import SelectionConfig
from lotus_recon.runners.jobs import SceneJob, check_apart, shard_of
from lotus_recon.runners.records import DONE, FAILED, read_record
from lotus_recon.workspace import Workspace

# Where no earlier run tells: what photos of the sample take at 1024 pixels (a mesh of every photo, or one of all).
_NEW_SCENE_MB_PER_PHOTO = {"single_view": 45.0, "multi_view": 10.0}


@dataclass(frozen=True)
class ScenePlan:
    """Of one scene."""

    name: str
    run: tuple[str, ...]  # stages, or photos one by one
    skip: tuple[str, ...]
    photos: int
    problem: str = ""
    expected: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class History:
    """What finished scenes of the output folder took, per photo."""

    seconds: Mapping[tuple[str, str], float]  # by kind and stage
    megabytes: Mapping[str, float]  # by kind


def lines_of_plan(jobs: Sequence[SceneJob], out: Path, selection: SelectionConfig) -> list[str]:
    """The plan as text, a line for each scene and the sums."""
    check_apart(jobs, out)
    chosen = shard_of(list(jobs), selection.shard)
    history = _history(chosen, out)
    lines, seconds, megabytes, unknown, to_run = [], 0.0, 0.0, 0, 0
    for job in chosen:
        plan = plan_of(job, out, selection)
        guess = _seconds(plan, job, history)
        need = _megabytes(plan, job, history)
        seconds, megabytes = seconds + (guess or 0.0), megabytes + need
        unknown += bool(plan.run) and guess is None
        to_run += bool(plan.run)
        lines.append(_line(plan, guess))
    more = f", without {unknown} scenes that no earlier run tells of" if unknown else ""
    free_gb = free_disk_gb(out)
    warning = "  NOT ENOUGH" if megabytes / 1000 > free_gb else ""
    return [
        *lines,
        f"{to_run} of {len(chosen)} scenes to run, about {duration(seconds)} of one worker{more}",
        f"disk: about {megabytes / 1000:.1f} GB needed, {free_gb:.1f} GB free{warning}",
    ]


def plan_of(job: SceneJob, out: Path, selection: SelectionConfig) -> ScenePlan:
    """Which stages of a scene would run. Decodes no photo and writes nothing."""
    folder = out / job.name
    record = read_record(folder, job.name, job.kind)
    if selection.failed and record.status != FAILED:
        return ScenePlan(job.name, (), (), 0, "left out by --failed")
    if selection.only and selection.only not in job.recipe.stage_names:
        return ScenePlan(job.name, (), (), 0, "left out by --only")
    if record.holds(folder, job.signature()) and not (selection.force or selection.only):
        return ScenePlan(job.name, (), tuple(str(stage["stage"]) for stage in record.stages), 0)
    try:
        asked = Selection(selection.only, selection.force)
        plan = job.recipe.plan(job.source(folder), job.config, asked, Workspace(folder))
        return ScenePlan(job.name, plan.run, plan.skip, plan.photos, expected=plan.expected)
    except ReconError as error:
        return ScenePlan(job.name, (), (), 0, str(error).strip().splitlines()[0])


def _line(plan: ScenePlan, seconds: float | None) -> str:
    if plan.problem:
        return f"{plan.name}: {plan.problem}"
    if not plan.run:
        return f"{plan.name}: up to date"
    skipped = f"; skip {', '.join(plan.skip)}" if plan.skip else ""
    about = f" (about {duration(seconds)})" if seconds is not None else ""
    return f"{plan.name}: run {', '.join(plan.run)}{skipped}{about}"


def _history(jobs: Sequence[SceneJob], out: Path) -> History:
    """Means over the finished scenes among ``jobs``."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    megabytes: dict[str, list[float]] = defaultdict(list)
    for job, photos in _finished(jobs, out):
        record = read_record(out / job.name, job.name, job.kind)
        for row in record.stages:
            key, share = _row_of(job, str(row["stage"]), photos)
            seconds[key].append(float(row["seconds"]) / share)
        size = sum(path.stat().st_size for path in (out / job.name).rglob("*") if path.is_file())
        megabytes[job.kind].append(size / 1e6 / photos)
    return History(
        {key: sum(values) / len(values) for key, values in seconds.items()},
        {kind: sum(values) / len(values) for kind, values in megabytes.items()},
    )


def _finished(jobs: Sequence[SceneJob], out: Path) -> Iterator[tuple[SceneJob, int]]:
    for job in jobs:
        record = read_record(out / job.name, job.name, job.kind)
        photos = int(record.figures.get("photos given", record.figures.get("photos", 0)))
        if record.status == DONE and photos:
            yield job, photos


def _row_of(job: SceneJob, name: str, photos: int) -> tuple[tuple[str, str], int]:
    """Under which key the seconds of a row are averaged, and the photos it is about: one, or all for a stage."""
    return ((job.kind, ""), 1) if job.recipe.rows_are_photos else ((job.kind, name), photos)


def _megabytes(plan: ScenePlan, job: SceneJob, history: History) -> float:
    """Disk that a plan needs: as finished scenes of this folder, else as stages were measured elsewhere."""
    if not plan.run:
        return 0.0
    if plan.expected and job.kind not in history.megabytes:
        return sum(each.disk_mb for each in plan.expected)
    return plan.photos * history.megabytes.get(job.kind, _NEW_SCENE_MB_PER_PHOTO[job.kind])


def _seconds(plan: ScenePlan, job: SceneJob, history: History) -> float | None:
    """Seconds that a plan may take: as finished scenes of this folder, else as stages did elsewhere; None: unknown."""
    rows = [_row_of(job, name, plan.photos) for name in plan.run]
    if any(key not in history.seconds for key, _ in rows):
        return sum(each.seconds for each in plan.expected) if plan.expected else None
    return sum(history.seconds[key] * photos for key, photos in rows)
