"""Runs the stages of a job in an output folder: skips what is up to date, loads what is needed."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from lotus_recon import native
from lotus_recon.config import Runtime, did_you_mean, load_config
from lotus_recon.errors import InputError
from lotus_recon.models.base import resolve_device
from lotus_recon.options import leaf_options, text_of
from lotus_recon.recipes.estimates import Schedule
from lotus_recon.stages import Context, J, StageSpec, Work, options_of, reads_of, refuse_unwanted, selected, stages_of
from lotus_recon.workspace import Hashes, Workspace, to_plain

Table = Sequence[StageSpec[J, Any]]

_UNKNOWN = "other input, or options of an interrupted run"


def run_stages(
    workspace: Workspace,
    table: Table[J],
    job: J,
    only: str | None = None,
    from_stage: str | None = None,
    begin: Callable[[str], object] | None = None,
    recheck: bool = False,
    work: Work | None = None,
) -> Context[J]:
    """Run the stages of ``table`` that the job has, in order; their results. ``begin`` is told each name before it.

    ``only`` runs that stage alone, on what earlier runs left of the stages before it; ``from_stage`` recomputes that
    stage and those after it, even if they are up to date. ``recheck`` checks every stage again just before it runs, for
    a job whose photos an earlier stage makes. With how much ``work`` there is, the log tells the time that is left.
    Raises InputError for an unknown name.
    """
    stages = stages_of(table, job)
    check_stage_names(table, only, from_stage)
    check_wanted(table, job, only, from_stage)
    context = Context(workspace, job, stages)
    names = [stage.name for stage in stages]
    again = set(names[names.index(from_stage) :]) if from_stage else set()
    chosen = selected(stages, only)
    schedule = None if work is None else _schedule(workspace, table, job, chosen, again, work)
    for stage in chosen:
        if begin is not None:
            begin(stage.name)
        if recheck:
            stage.check(job)
        if stage.name in again:
            workspace.invalidate(stage.place(job))
        started = time.monotonic()
        _run(stage, context, "" if schedule is None else f" ({schedule.place_of(stage.name)})")
        if schedule is not None:
            schedule.done(stage.name, time.monotonic() - started)
    return context


def _schedule(
    workspace: Workspace, table: Table[J], job: J, chosen: Table[J], again: Collection[str], work: Work
) -> Schedule:
    due = {*missing_stages(workspace, table, job), *again}
    return Schedule(chosen, due, job, work, resolve_device(options_of(job.config, Runtime).device).type)


def _run(stage: StageSpec[J, Any], context: Context[J], note: str) -> None:
    limited = context.read_by(stage)
    job = context.job
    context.workspace.run_stage(
        f"{job.label}: {stage.name}" if job.label else stage.name,
        stage.place(job),
        run=lambda folder: stage.run(limited, folder),
        wanted=hashes(stage, context),
        resumable=stage.resumable,
        note=note,
    )


def hashes(stage: StageSpec[J, Any], context: Context[J]) -> Hashes:
    """What a stage of a job is to be made with. Raises InputError when a stage that it reads was never finished."""
    job, workspace = context.job, context.workspace
    upstream = {read.name: workspace.stage_fingerprint(read.place(job)) for read in reads_of(stage, context.stages)}
    options, inputs = _made_with(stage, job)
    # A result that repeats bit for bit serves a run that does not ask for that, not the other way round.
    also = [{**options, "deterministic": True}] if options.get("deterministic") is False else []
    return Hashes.of(options, {**inputs, **upstream}, also)


def _made_with(stage: StageSpec[J, Any], job: J) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The options that a stage depends on, and the fingerprints of the files that it reads from outside."""
    runtime = {name: getattr(options_of(job.config, Runtime), name) for name in stage.runtime(job)}
    return {"options": to_plain(stage.options(job), paths=False), **runtime}, stage.inputs(job)


def check_stage_names(table: Table[J], only: str | None, from_stage: str | None) -> None:
    """Raise InputError when ``only`` or ``from_stage`` is not in ``table``, or both are given."""
    names = [stage.name for stage in table]
    for option, name in (("--only", only), ("--from", from_stage)):
        if name is not None and name not in names:
            raise InputError(f"{option}: unknown stage {name!r}{did_you_mean(name, names)}; stages: {', '.join(names)}")
    if only is not None and from_stage is not None:
        raise InputError("--only and --from exclude each other")


def check_wanted(table: Table[J], job: J, only: str | None, from_stage: str | None) -> None:
    """Raise InputError when the options of the job leave out the stage that ``only`` or ``from_stage`` asks for."""
    stages = stages_of(table, job)
    for option, name in (("--only", only), ("--from", from_stage)):
        if name is not None and all(stage.name != name for stage in stages):
            refuse_unwanted(next(stage for stage in table if stage.name == name), option)


def check_only(workspace: Workspace, table: Table[J], job: J, only: str | None) -> None:
    """Raise InputError when a stage before ``only`` has not been run yet, or with other options or input than now."""
    stages = stages_of(table, job)
    stage = next((stage for stage in stages if stage.name == only), None)
    if stage is None:
        return
    missing = unfinished(workspace, table, job, stage)
    if missing:
        raise InputError(
            f"--only {only} needs {', '.join(missing)}, not yet run in {workspace.root}: run without --only"
        )
    before = _before(stage, stages)
    out_of_date = set(missing_stages(workspace, before, job))
    stale = [other for other in before if other.name in out_of_date]
    if stale:
        names, why = ", ".join(other.name for other in stale), _why_stale(workspace, stale, stages, job)
        raise InputError(
            f"--only {only} needs {names}, out of date in {workspace.root} ({why}): run without --only to compute "
            "again what differs, or repeat the earlier options"
        )


def unfinished(workspace: Workspace, table: Table[J], job: J, stage: StageSpec[J, Any]) -> list[str]:
    """Names of the stages that ``stage`` of a job reads and that have never been finished."""
    reads = reads_of(stage, stages_of(table, job))
    return [read.name for read in reads if not workspace.is_finished(read.place(job))]


def _before(stage: StageSpec[J, Any], stages: Table[J]) -> Table[J]:
    """The stages that lead to a stage, in order, without it."""
    names: set[str] = set()
    for other in reversed(stages):
        if other.name == stage.name or other.name in names:
            names |= {read.name for read in reads_of(other, stages)}
    return tuple(other for other in stages if other.name in names)


def _why_stale(workspace: Workspace, stale: Table[J], stages: Table[J], job: J) -> str:
    """Which options of the last run the ``stale`` stages were made with, and what they are now."""
    if any(workspace.damage(stage.place(job)) for stage in stale):
        return "files of theirs are gone or of another size"
    try:
        last = _with_config(job, load_config(type(job.config), workspace.config_file))
    except InputError:  # there is none, or that of another release
        return _UNKNOWN
    context = Context(workspace, last, stages)
    made_by_it = [stage for stage in stale if workspace.is_current(stage.place(last), hashes(stage, context))]
    changes = dict.fromkeys(change for stage in made_by_it for change in _changes(stage, last, job))
    return f"made with {', '.join(changes)}" if changes else _UNKNOWN


def _changes(stage: StageSpec[J, Any], last: J, job: J) -> Iterator[str]:
    """The options that a stage depends on and that differ between two jobs: ``--voxel-size 0.1, now 0.2``."""
    for option in leaf_options(type(job.config)):
        group = option.path[0]
        before, now = (functools.reduce(getattr, option.path, each.config) for each in (last, job))
        only_this_group = dataclasses.replace(job.config, **{group: getattr(last.config, group)})
        if before != now and _made_with(stage, job) != _made_with(stage, _with_config(job, only_this_group)):
            yield f"{option.key if option.is_advanced else option.flag} {text_of(before)} (now {text_of(now)})"


def _with_config(job: J, config: Any) -> J:
    changed: J = dataclasses.replace(cast(Any, job), config=config)
    return changed


def check_stages(table: Table[J], job: J, only: str | None = None) -> None:
    """Let the stages of a run, and those that they read, look at their input. Raises InputError before any work."""
    stages = stages_of(table, job)
    asked = selected(stages, only)
    native.require(list(dict.fromkeys(library for stage in asked for library in stage.libraries)))
    for stage in stages:
        if stage in asked or any(stage in reads_of(other, stages) for other in asked):
            stage.check(job)


def is_made_from(workspace: Workspace, table: Table[J], job: J) -> bool:
    """Whether the first stage of a job was made from the files that it would read now, wherever they were."""
    first = stages_of(table, job)[0]
    return workspace.made_from(first.place(job)) == hashes(first, Context(workspace, job, (first,))).input_hash


def missing_stages(workspace: Workspace, table: Table[J], job: J) -> list[str]:
    """Names of the stages that ``run_stages`` would run now: those that are not up to date, and those after them."""
    missing: list[str] = []
    context = Context(workspace, job, stages_of(table, job))
    for stage in context.stages:
        stale = any(read.name in missing for read in reads_of(stage, context.stages))
        if stale or not workspace.is_current(stage.place(job), hashes(stage, context)):
            missing.append(stage.name)
    return missing
