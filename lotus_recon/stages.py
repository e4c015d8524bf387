"""What a stage of a pipeline is, and how stages meet: specifications, and the typed context that hands results on.

A stage's room holds its ``StageSpec`` in ``spec.py``; a recipe is a tuple of them. Everything that lists stages (the
command line, dry runs, Ray, evaluation, the documentation) computes its list from that tuple.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from lotus_recon.config import Runtime
from lotus_recon.errors import InputError
from lotus_recon.workspace import Place, Workspace

Options = TypeVar("Options")


class Job(Protocol):
    """What stages work on: a scene or a photo, with the options of its pipeline."""

    @property
    def config(self) -> Any:
        """The dataclass of option groups."""
        ...

    @property
    def label(self) -> str:
        """What the log calls it beside other jobs of the same run; empty where there are none."""
        ...


J = TypeVar("J", bound=Job)
J_contra = TypeVar("J_contra", bound=Job, contravariant=True)
Result = TypeVar("Result")


def options_of(config: Any, kind: type[Options]) -> Options:
    """The group of type ``kind`` among the options ``config`` of a pipeline."""
    for group in dataclasses.fields(config):
        value = getattr(config, group.name)
        if isinstance(value, kind):
            return value
    raise TypeError(f"{type(config).__name__} has no options of type {kind.__name__}")


@dataclass(frozen=True)
class Needs:
    """What a stage asks of a machine that runs several scenes: CPU cores, memory in MB, GPUs."""

    cpus: float = 1.0
    memory_mb: int = 1000
    gpus: float = 0.0


@dataclass(frozen=True)
class Work:
    """How much a job has to do: its photos, and the megapixels of all depth maps together."""

    photos: int
    megapixels: float


@dataclass(frozen=True)
class Cost:
    """What a stage takes on two cores of a common processor, as measured; disk counts what it leaves behind."""

    seconds: float = 0.2
    seconds_per_photo: float = 0.0
    seconds_per_megapixel: float = 0.0
    disk_mb_per_megapixel: float = 0.0
    # A stage that gives up where it would take more than this share of the time of those before it.
    most_of_before: float | None = None

    def seconds_of(self, work: Work) -> float:
        """Seconds for so much work, however long the stages before took."""
        return self.seconds + self.seconds_per_photo * work.photos + self.seconds_per_megapixel * work.megapixels


def _free(job: Any) -> Cost:
    return Cost()


def _nothing(job: Any) -> dict[str, str]:
    return {}


def _no_check(job: Any) -> None:
    return None


def _always(job: Any) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class StageSpec(Generic[J, Result]):
    """One stage: what it reads, what changes its result, what it needs, and how it is run and loaded.

    ``run`` writes into the folder that it is given, raises on failure and returns what ``load`` would. Both import
    their libraries when they are called, so that a list of stages costs nothing.
    """

    name: str  # on the command line
    summary: str  # what it does, one line for the documentation
    run: Callable[[Context[J], Path], Result]
    load: Callable[[Path], Result]
    # The option values that its result depends on; paths do not count, but the content of their files (``inputs``).
    options: Callable[[J], Any]
    # Earlier stages whose results it may read; None: all of them.
    reads: tuple[StageSpec[J, Any], ...] | None = ()
    # Whether a job has this stage at all; a stage that another one requires is part of the job as well.
    wanted: Callable[[J], bool] = _always
    wanted_with: str = ""  # the options that ask for it, for messages and documentation
    requires: Callable[[J], tuple[StageSpec[J, Any], ...]] = lambda job: ()
    inputs: Callable[[J], Mapping[str, str]] = _nothing  # fingerprints of the files that it reads from outside
    # What can be found wrong before any long work; raises InputError.
    check: Callable[[J], object] = _no_check
    folder: Callable[[J], str] | None = None  # in the output folder; None: the name of the stage
    adds_to_folder: bool = False  # the folder is that of an earlier stage, which this one adds files to
    # Fields of Runtime that change the result, beside the options.
    runtime: Callable[[J], tuple[str, ...]] = lambda job: ()
    # The stage whose files it completes in no time: ``--only`` of that one runs both.
    completes: StageSpec[J, Any] | None = None
    needs: Needs = Needs()
    cost: Callable[[J], Cost] = _free
    libraries: tuple[str, ...] = ()  # native libraries that are tried before any long work
    resumable: bool = False  # continues with the files that a killed run left
    writes_depth: bool = False  # <view>.npz with depth in units of the scene
    group: tuple[str, type[Any]] | None = None  # name and type of its options, where the configuration lacks them

    def place(self, job: J) -> Place:
        """Where its files are in the output folder of ``job``."""
        folder = self.name if self.folder is None else self.folder(job)
        return Place(folder, self.name if self.adds_to_folder else "")


class Context(Generic[J]):
    """What a stage gets: the job, and the results of the stages that it reads, loaded when first asked for."""

    def __init__(self, workspace: Workspace, job: J, stages: Sequence[StageSpec[J, Any]]) -> None:
        self.workspace, self.job = workspace, job
        self.stages = tuple(stages)  # of this job, in order
        self._loaded: dict[str, Any] = {}
        self._reader: StageSpec[J, Any] | None = None

    def options(self, kind: type[Options]) -> Options:
        """The job's options of type ``kind``."""
        return options_of(self.job.config, kind)

    @property
    def runtime(self) -> Runtime:
        """How to compute."""
        return self.options(Runtime)

    def read_by(self, stage: StageSpec[J, Any]) -> Context[J]:
        """The same context, limited to what ``stage`` declares that it reads."""
        limited = Context(self.workspace, self.job, self.stages)
        limited._loaded, limited._reader = self._loaded, stage
        return limited

    def __getitem__(self, stage: StageSpec[J, Result]) -> Result:
        """The result of a stage. Raises InputError when it was never finished."""
        self._check_declared(stage)
        if stage.name not in self._loaded:
            self.workspace.stage_info(stage.place(self.job))  # raises when the stage was never finished
            self._loaded[stage.name] = stage.load(self.folder(stage))
        result: Result = self._loaded[stage.name]
        return result

    def keep(self, stage: StageSpec[J, Result], result: Result) -> None:
        """Hand on a result that has just been computed."""
        self._loaded[stage.name] = result

    def folder(self, stage: StageSpec[J, Any]) -> Path:
        """Where the files of a stage are."""
        self._check_declared(stage)
        return self.workspace.stage(stage.place(self.job))

    def kept(self, stage: StageSpec[J, Any]) -> Path:
        """Where a stage keeps what it made of single photos, for runs with other photos too."""
        return self.workspace.kept(stage.place(self.job))

    def has(self, stage: StageSpec[J, Any]) -> bool:
        """Whether the job has this stage."""
        return any(own.name == stage.name for own in self.stages)

    def first_of(self, *stages: StageSpec[J, Any]) -> StageSpec[J, Any]:
        """The first of ``stages`` that the job has."""
        return next(stage for stage in stages if self.has(stage))

    def finished(self) -> dict[str, dict[str, Any]]:
        """stage.json of every stage of the job that is finished, in order."""
        places = {stage.name: stage.place(self.job) for stage in self.stages}
        return {name: self.workspace.stage_info(p) for name, p in places.items() if self.workspace.is_finished(p)}

    def _check_declared(self, stage: StageSpec[J, Any]) -> None:
        reader = self._reader
        if reader is not None and reader.reads is not None and stage.name not in (reader.name, *_names(reader.reads)):
            raise AssertionError(f"stage {reader.name!r} reads {stage.name!r} and does not declare it")


def stages_of(table: Sequence[StageSpec[J, Any]], job: J) -> tuple[StageSpec[J, Any], ...]:
    """The stages of ``table`` that a job has: those that its options want, and those that these require."""
    chosen = {stage.name for stage in table if stage.wanted(job)}
    for stage in reversed(table):
        if stage.name in chosen:
            chosen |= {required.name for required in stage.requires(job)}
    return tuple(stage for stage in table if stage.name in chosen)


def selected(stages: Sequence[StageSpec[J, Any]], only: str | None) -> tuple[StageSpec[J, Any], ...]:
    """The ``stages`` that a run with ``--only`` has; all of them without."""
    return tuple(
        stage
        for stage in stages
        if only in (None, stage.name) or (stage.completes is not None and stage.completes.name == only)
    )


def reads_of(stage: StageSpec[J, Any], stages: Sequence[StageSpec[J, Any]]) -> tuple[StageSpec[J, Any], ...]:
    """Those of the job's ``stages`` that one of them reads."""
    if stage.reads is None:
        return tuple(stages[: _names(stages).index(stage.name)])
    return tuple(other for other in stages if other.name in _names(stage.reads or ()))


def _names(stages: Sequence[StageSpec[J, Any]]) -> list[str]:
    return [stage.name for stage in stages]


def refuse_unwanted(stage: StageSpec[J, Any], option: str) -> None:
    """Raise InputError: the options of the job leave ``stage`` out, and ``option`` asks for it."""
    hint = f"; it needs {stage.wanted_with}" if stage.wanted_with else ""
    raise InputError(f"{option} {stage.name}: this run has no such stage{hint}")
