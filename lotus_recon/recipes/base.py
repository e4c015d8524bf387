"""What a runner of many scenes needs to know of a recipe, whichever it is. Imports no library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lotus_recon.recipes.estimates import Estimate
from lotus_recon.stages import Needs
from lotus_recon.workspace import Place, Workspace

Begin = Callable[[str], object]  # told the name of each step before it


@dataclass(frozen=True)
class Source:
    """What a scene is made from: folders, photos and patterns, or a video; ``out`` is the folder of its results."""

    images: tuple[str, ...]
    video: Path | None
    out: Path


@dataclass(frozen=True)
class Selection:
    """Which stages run: those that are due, ``only`` one, or all again (``force``)."""

    only: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Step:
    """A part of the work on a scene that a machine of a cluster can do alone, and what it needs."""

    name: str
    needs: Needs


@dataclass(frozen=True)
class StageRun:
    """What became of one stage, or of one photo."""

    stage: str
    info_files: tuple[str, ...]  # in the scene's folder; unless all are whole the result does not count
    seconds: float
    peak_memory_mb: float
    ran: bool  # False: it was up to date

    @classmethod
    def of(cls, workspace: Workspace, name: str, places: Sequence[Place], before: Sequence[str]) -> StageRun:
        """From one or more finished stages whose run ids were ``before``."""
        infos = [workspace.stage_info(place) for place in places]
        return cls(
            name,
            tuple(place.info_file for place in places),
            round(sum(float(info["seconds"]) for info in infos), 3),
            max(float(info["peak_memory_mb"]) for info in infos),
            any(info["run_id"] != old for info, old in zip(infos, before, strict=True)),
        )


@dataclass(frozen=True)
class Done:
    """What a run did: a row per stage or photo, the photos that failed, and figures for the table of a batch."""

    stages: tuple[StageRun, ...]
    failed: tuple[str, ...] = ()  # messages
    figures: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Names of the stages or photos that would run, of those that are up to date, and how many photos that concerns;
    and what the stages will take, as far as that is known."""

    run: tuple[str, ...]
    skip: tuple[str, ...]
    photos: int
    expected: tuple[Estimate, ...] = ()


class Recipe(Protocol):
    """One way to reconstruct: a table of stages, its options and its input."""

    kind: str
    config_type: type[Any]
    stage_names: tuple[str, ...]
    rows_are_photos: bool  # of ``Done``; else they are stages

    @property
    def places(self) -> Mapping[str, tuple[str, str]]:
        """Where in the configuration the keys of a manifest stand: key -> (group, option)."""
        ...

    def check_images(self, images: Sequence[str]) -> None:
        """Raise InputError for images that cannot be one scene of this kind."""
        ...

    def given_paths(self, config: Any) -> dict[str, Path | None]:
        """Files and folders that the options name, by option."""
        ...

    def check(self, source: Source, config: Any, selection: Selection) -> None:
        """Look at all that a scene is made from. Raises InputError, before any long work."""
        ...

    def plan(self, source: Source, config: Any, selection: Selection, workspace: Workspace) -> Plan:
        """What ``run`` would do. Decodes no photo and writes nothing."""
        ...

    def steps(self, source: Source, config: Any, selection: Selection) -> list[Step]:
        """The steps of ``run``, in order."""
        ...

    def run(
        self,
        source: Source,
        config: Any,
        selection: Selection,
        workspace: Workspace,
        begin: Begin,
        step: str | None = None,
    ) -> Done:
        """Do a scene that was checked, or one ``step`` of it; ``Done`` tells of all stages that are finished then.

        Raises what the stages raise.
        """
        ...


def run_id(workspace: Workspace, place: Place) -> str:
    """Names the run that finished a stage; empty when there is none."""
    return str(workspace.stage_info(place)["run_id"]) if workspace.is_finished(place) else ""
