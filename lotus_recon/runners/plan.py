"""What a batch would do: stages, seconds and disk, told before anything starts."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lotus_recon.errors import ReconError
from lotus_recon.recipes import multi_view, single_view
from lotus_recon.recipes.engine import missing_stages
from lotus_recon.runners.batch import duration
from lotus_recon.runners.config import SelectionConfig
from lotus_recon.runners.jobs import FRAMES_FOLDER, SceneJob, check_apart, shard_of
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
        guess = _seconds(plan, job.kind, history)
        need = 0.0 if not plan.run else plan.photos * history.megabytes.get(job.kind, _NEW_SCENE_MB_PER_PHOTO[job.kind])
        seconds, megabytes = seconds + (guess or 0.0), megabytes + need
        unknown += bool(plan.run) and guess is None
        to_run += bool(plan.run)
        lines.append(_line(plan, guess))
    more = f", without {unknown} scenes that no earlier run tells of" if unknown else ""
    free_gb = shutil.disk_usage(_existing_parent(out)).free / 1e9
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
    if selection.only and job.kind != "multi_view":
        return ScenePlan(job.name, (), (), 0, "left out by --only")
    if record.holds(folder, job.signature()) and not (selection.force or selection.only):
        return ScenePlan(job.name, (), tuple(str(stage["stage"]) for stage in record.stages), 0)
    try:
        return _planned(job, folder, selection)
    except ReconError as error:
        return ScenePlan(job.name, (), (), 0, str(error).strip().splitlines()[0])


def _planned(job: SceneJob, folder: Path, selection: SelectionConfig) -> ScenePlan:
    workspace = Workspace(folder)
    if job.video is not None and not workspace.is_finished(FRAMES_FOLDER):
        rest = multi_view.STAGES if job.kind == "multi_view" else ("photos",)
        return ScenePlan(job.name, (FRAMES_FOLDER, *rest), (), job.frames.max_frames)
    arguments = job.photo_arguments(folder)
    if job.kind == "single_view":
        one_by_one = single_view.check_job(arguments, job.config, folder)  # type: ignore[arg-type]
        pending = {photo.stem for photo in single_view.pending(one_by_one, workspace)}
        names = [photo.stem for photo in one_by_one.photos]
        run = [name for name in names if selection.force or name in pending]
        return ScenePlan(job.name, tuple(run), tuple(n for n in names if n not in run), len(run))
    scene = multi_view.check_job(Path(arguments[0]), job.config, folder, selection.only, decode_photos=False)  # type: ignore[arg-type]
    stages = multi_view.stages(scene)
    names = [stage.name for stage in stages]
    missing = names if selection.force else missing_stages(workspace, stages)
    run = [name for name in missing if selection.only in (None, name)]
    return ScenePlan(job.name, tuple(run), tuple(n for n in names if n not in run), len(scene.photos))


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
        for stage in record.stages:
            name = str(stage["stage"]) if job.kind == "multi_view" else ""
            # A stage of several photos is divided by their number; in single_view every photo is a stage.
            seconds[job.kind, name].append(float(stage["seconds"]) / (photos if job.kind == "multi_view" else 1))
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


def _seconds(plan: ScenePlan, kind: str, history: History) -> float | None:
    """Seconds that the stages of a plan may take; None when some stage was never measured."""
    per_photo = [history.seconds.get((kind, name if kind == "multi_view" else "")) for name in plan.run]
    if any(one is None for one in per_photo):
        return None
    times = plan.photos if kind == "multi_view" else 1
    return sum(one or 0.0 for one in per_photo) * times


def _existing_parent(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return path
