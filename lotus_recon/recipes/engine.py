"""Runs a list of stages in an output folder: skips what is done, loads what is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lotus_recon.config import nearest
from lotus_recon.errors import InputError
from lotus_recon.workspace import Workspace


@dataclass(frozen=True)
class Stage:
    """One step of a recipe. ``run`` and ``load`` return the same typed result."""

    name: str  # on the command line
    folder: str  # in the output folder
    config: Any  # dataclass that is hashed: a change makes the stage run again
    run: Callable[[Results, Path], Any]
    load: Callable[[Path], Any]
    after: tuple[str, ...] = ()  # stages whose results it reads
    inputs: Mapping[str, str] = field(default_factory=dict)  # fingerprints of what it reads from outside
    resumable: bool = False  # goes on with the files that a killed run left


class Results:
    """Results of stages by name, loaded from disk when first asked for."""

    def __init__(self, workspace: Workspace, stages: Sequence[Stage]) -> None:
        self.workspace = workspace
        self._stages = {stage.name: stage for stage in stages}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            stage = self._stages[name]
            self.workspace.stage_info(stage.folder)  # raises when the stage was never finished
            self._loaded[name] = stage.load(self.folder(name))
        return self._loaded[name]

    def __setitem__(self, name: str, result: Any) -> None:
        self._loaded[name] = result

    def folder_name(self, name: str) -> str:
        """Name of a stage's folder in the output folder."""
        return self._stages[name].folder

    def folder(self, name: str) -> Path:
        """Where the files of a stage are."""
        return self.workspace.stage(self.folder_name(name))

    def infos(self) -> dict[str, dict[str, Any]]:
        """stage.json of every stage that is finished, in the order of the recipe."""
        finished = {}
        for name, stage in self._stages.items():
            if self.workspace.is_finished(stage.folder):
                finished[name] = self.workspace.stage_info(stage.folder)
        return finished


def run_stages(
    workspace: Workspace,
    stages: Sequence[Stage],
    only: str | None = None,
    from_stage: str | None = None,
    begin: Callable[[str], object] | None = None,
) -> Results:
    """Run the stages in order and return their results. ``begin`` is told the name of each stage before it.

    ``only`` runs that stage alone, on what earlier runs left of the stages before it; ``from_stage`` runs that stage
    and those after it again, even if they are up to date. Raises InputError for an unknown name.
    """
    names = [stage.name for stage in stages]
    check_stage_names(names, only, from_stage)
    results = Results(workspace, stages)
    again = set(names[names.index(from_stage) :]) if from_stage else set()
    for stage in stages:
        if only in (None, stage.name):
            if begin is not None:
                begin(stage.name)
            results[stage.name] = _run(stage, results, again=stage.name in again)
    return results


def check_stage_names(names: Sequence[str], only: str | None, from_stage: str | None) -> None:
    """Raise InputError when ``only`` or ``from_stage`` is not among ``names``, or both are given."""
    for option, name in (("--only", only), ("--from", from_stage)):
        if name is not None and name not in names:
            raise InputError(
                f"{option}: unknown stage {name!r}{nearest(name, list(names))}; stages: {', '.join(names)}"
            )
    if only is not None and from_stage is not None:
        raise InputError("--only and --from exclude each other")


def check_only(workspace: Workspace, stages: Sequence[Stage], only: str | None) -> None:
    """Raise InputError when the stages before ``only`` have not been run yet."""
    folders = {stage.name: stage.folder for stage in stages}
    needed = next((stage.after for stage in stages if stage.name == only), ())
    missing = [name for name in needed if not workspace.is_finished(folders[name])]
    if missing:
        raise InputError(
            f"--only {only} needs {', '.join(missing)}, not yet run in {workspace.root}: run without --only"
        )


def missing_stages(workspace: Workspace, stages: Sequence[Stage]) -> list[str]:
    """Names of the stages that ``run_stages`` would run now: those that are not up to date, and those after them."""
    missing: list[str] = []
    folders = {stage.name: stage.folder for stage in stages}
    for stage in stages:
        if any(name in missing for name in stage.after):
            missing.append(stage.name)
            continue
        upstream = {name: workspace.stage_fingerprint(folders[name]) for name in stage.after}
        if not workspace.is_current(stage.folder, stage.config, {**stage.inputs, **upstream}):
            missing.append(stage.name)
    return missing


def _run(stage: Stage, results: Results, again: bool) -> Any:
    workspace = results.workspace
    if again:
        workspace.invalidate(stage.folder)
    upstream = {name: workspace.stage_fingerprint(results.folder_name(name)) for name in stage.after}
    return workspace.run_stage(
        stage.folder,
        run=lambda folder: stage.run(results, folder),
        load=stage.load,
        config=stage.config,
        inputs={**stage.inputs, **upstream},
        resumable=stage.resumable,
    )
