"""What goes to whoever does the work, and what comes back."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from lotus_recon.recipes.base import Selection, StageRun
from lotus_recon.runners.jobs import SceneJob


class Fault(str, enum.Enum):
    """Why an attempt at a scene failed."""

    INPUT = "bad input"
    FAILED = "cannot be reconstructed"
    ERROR = "program error"
    CRASH = "crash"
    MEMORY = "memory"
    TIMEOUT = "time-out"
    DISK_FULL = "disk full"
    IO = "input/output"
    IN_USE = "in use"  # by another batch: not a failure of the scene

    @property
    def is_retried(self) -> bool:
        """Whether another attempt may end differently."""
        return self in (Fault.CRASH, Fault.IO)


@dataclass(frozen=True)
class Settings:
    """What holds for every scene of a batch."""

    selection: Selection = field(default_factory=Selection)
    threads: int = 1
    memory_limit: int | None = None


@dataclass(frozen=True)
class Task:
    """To check a scene's input, or to reconstruct it."""

    job: SceneJob
    folder: Path  # of the scene
    step: Literal["check", "run"]
    settings: Settings

    @property
    def name(self) -> str:
        """Of the scene."""
        return self.job.name


@dataclass(frozen=True)
class StageEvent:
    """A stage of a scene begins, as seen by who works on it."""

    scene: str
    stage: str


@dataclass(frozen=True)
class ProgressEvent:
    """How far a scene is in what it does now."""

    scene: str
    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """The end of a task; ``fault`` is None when all went well."""

    scene: str
    fault: Fault | None = None
    message: str = ""
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    stages: tuple[StageRun, ...] = ()
    figures: Mapping[str, float | str] = field(default_factory=dict)
    host: str = ""


Event = StageEvent | ProgressEvent | Finished


class Runner(Protocol):
    """Who does tasks, several at a time. Every task that is submitted ends in one Finished, whatever happens."""

    @property
    def free(self) -> int:
        """How many more tasks may be submitted now."""
        ...

    def submit(self, task: Task) -> None:
        """Begin a task."""
        ...

    def poll(self, seconds: float) -> Sequence[Event]:
        """What happened; waits so long at most when nothing did."""
        ...

    def stop(self, scene: str, fault: Fault, message: str) -> None:
        """End the task of a scene by force; its Finished will say why."""
        ...

    def close(self) -> None:
        """End everything."""
        ...
